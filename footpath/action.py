"""What an action and a batch are on the wire, what of them enters the journal, and the limits they keep.

The limits are footpath's own unless a source is named beside them.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

MAX_ID_LENGTH = 256  # characters of userId, sessionId and id: room for a URL or two UUIDs, small enough to index
MAX_BODY = 5 * 1024 * 1024  # bytes of a request body as sent; 40,000 typical actions
MAX_INFLATED = 20 * 1024 * 1024  # bytes after gunzip: JSON of actions shrinks to a tenth or less
MAX_ACTIONS = 10_000  # in a request: one journal row of 1 MB, a fifth of a second of work
MAX_ACTION_BYTES = 64 * 1024  # of one action as JSON: what sendBeacon can carry, so no tracker needs more
MAX_REJECT_BYTES = MAX_ACTION_BYTES  # of a reject as it was sent: what is longer could not be accepted as it stands
MAX_DEPTH = 64  # nested objects and arrays in an action: every JSON reader in the field takes that

TYPE_BITS = {"CLICK": 1, "VIEW": 2, "NAVIGATE": 4}
"""The known types, each with its bit in `Entry.types`."""

NUMBER = (int, float)
TEXT = (str,)
KNOWN_PROPERTIES: dict[str, tuple[tuple[str, tuple[type, ...]], ...]] = {
    "CLICK": (("locationX", NUMBER), ("locationY", NUMBER)),
    "VIEW": (("viewedId", TEXT),),
    "NAVIGATE": (("pageFrom", TEXT), ("pageTo", TEXT)),
}
"""The properties whose JSON type is checked, by type of action: two at most, of one JSON type. Others are kept as they
come."""

MIN_MICROS = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
MAX_MICROS = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z: the years that RFC 3339 and Python's datetime hold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]


def micros(time: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime, exactly, also where UTC leaves the years 1 to 9999."""
    delta = time - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def digest_of(user_id: str) -> bytes:
    """What stands for a user where they must not be named: the sha256 of their id."""
    return hashlib.sha256(user_id.encode()).digest()


def number_of(user_id: str) -> int:
    """The first 64 bits of a user's digest as a signed number, as SQLite keeps it."""
    return int.from_bytes(digest_of(user_id)[:8], "big", signed=True)


class Action(Struct, gc=False):
    """One thing a user did. `time` keeps the offset it came with."""

    time: Annotated[datetime, Meta(tz=True)]
    type: str
    properties: dict[str, Any] = field(default_factory=dict)
    id: Id | UnsetType | None = UNSET


class Batch(Struct, gc=False):
    """What one user did in one session, as one request says it."""

    userId: Id  # noqa: N815 - the name on the wire
    sessionId: Id  # noqa: N815
    actions: list[Action]


class FlatAction(Action, gc=False):
    """An action whose properties hold no object or array, as most do: how deep it is nested is known then."""

    properties: dict[str, str | int | float | bool | None] = field(default_factory=dict)


class FlatBatch(Batch, gc=False):
    """A batch of flat actions."""

    actions: list[FlatAction]  # type: ignore[assignment]


class LooseBatch(Struct):
    """A batch whose actions have not been looked at, so that each can be judged alone."""

    userId: Id  # noqa: N815
    sessionId: Id  # noqa: N815
    actions: list[Raw]


class Entry(NamedTuple):
    """One row of the journal: the accepted actions of one batch.

    `time_min` and `time_max` are microseconds since 1970 UTC, `types` a sum of `TYPE_BITS`, `actions` the JSON array
    of the actions in the order they came, each `{"time", "type", "properties"[, "id"]}` with `type` in upper case.
    `ids` has a place for each action; it is None when no action has an id.
    """

    user_id: str
    session_id: str
    number: int
    time_min: int
    time_max: int
    types: int
    actions: bytes
    ids: list[str | None] | None = None


class Reject(Struct):
    """An action that was refused: where it stood in the request, and why."""

    batch: int
    action: int
    code: str
    message: str


class RejectRow(NamedTuple):
    """A reject as it is kept: whose it is, why it was refused, and the action as it was sent.

    `length` is that of the action as it was sent, in bytes; `raw` is its beginning when it is over `MAX_REJECT_BYTES`.
    """

    user_id: str
    session_id: str
    code: str
    message: str
    length: int
    raw: bytes


class Checked(NamedTuple):
    """A request after the checks: `received` actions, of which `entries` hold the accepted ones.

    `rejects` is what the sender is told of the others, `reject_rows` what is kept of them, in the same order. `sizes`
    are the numbers of actions of the batches; those with an accepted one have an entry, in the same order.
    """

    received: int
    entries: list[Entry]
    rejects: list[Reject]
    reject_rows: Sequence[RejectRow] = ()
    sizes: Sequence[int] = ()

    @property
    def accepted(self) -> int:
        """How many actions passed."""
        return self.received - len(self.rejects)

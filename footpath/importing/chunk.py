"""Records -> chunks: request bodies of at most `CHUNK_ACTIONS` actions, each with a key of its own.

A record is a batch, an array of batches (or rows), or a row: one action with its ids, as an export writes it. Rows and
batches of one session that fall into one chunk become one batch of it, in the order they came.

The same content gives the same chunks, and a chunk's key is made of its number and of the sha256 of everything up to
its end. So the keys do not depend on the file's name, its compression or the blanks between its records, and no key
comes twice in a file.

Actions are not judged here: that is `decode.read`'s business, wherever the chunk goes. What no request could hold is
refused here: records that are not JSON or no batch, and actions that are too large or nested too deeply to send.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, ValidationError
from msgspec.json import Decoder, encode

from footpath.action import Id
from footpath.importing.scan import MAX_RECORD, Record, by_brackets, is_whole

CHUNK_ACTIONS = 5_000  # half of what a request may hold: a commit of a few milliseconds, and little to do again
CHUNK_BYTES = 3 << 20  # of actions: with the ids that come on top still below the 5 MB of a request
MAX_RAW = 1 << 20  # bytes of one action as it stands in the file: 16 times its limit, for escapes and blanks
MAX_NESTING = 200  # of one action: three times what is accepted, a fifth of what a JSON reader can take
_FORMAT = "footpath-import-1"  # the number changes with the way that chunks are cut

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class Where(NamedTuple):
    """Where an action stands: the line its record begins in, and its place in the record's batch; None for a row."""

    line: int
    action: int | None = None


class Refused(NamedTuple):
    """What is not kept: where it stands, why, and its text."""

    where: Where
    code: str
    message: str
    raw: bytes


Origin = tuple[int, int | None, bytes]
"""Line and action as in `Where`, and the text: a plain tuple, as there is one for every action."""


class Chunk(NamedTuple):
    """A request to be: its key, its body, how many actions it holds, and for each batch where they came from."""

    key: str
    body: bytes
    actions: int
    batches: list[list[Origin]]


class _Record(Struct):
    userId: Id  # noqa: N815 - the name on the wire
    sessionId: Id  # noqa: N815
    actions: list[Raw] | UnsetType = UNSET


_RECORD = Decoder(_Record)


def chunks(records: Iterable[Record]) -> Iterator[Chunk | Refused]:
    """Put records together to chunks, and tell what is refused on the way."""
    cutter = _Cutter()
    for record in records:
        for found in _read(record):
            if isinstance(found, Refused):
                yield found
                continue
            for place, raw in enumerate(found.actions):
                action = None if found.is_row else place
                if len(raw) > 2 * MAX_NESTING and (refused := _unfit(Where(found.line, action), raw)):
                    yield refused
                    continue
                if cutter.is_full(len(raw)):
                    yield cutter.cut()
                cutter.add(found.session, (found.line, action, raw))
    if cutter.actions:
        yield cutter.cut()


class _Found(NamedTuple):
    """The actions of a batch, or the one of a row."""

    session: tuple[str, str]
    line: int
    is_row: bool
    actions: list[bytes]


class _Cutter:
    """The chunk that is being put together, and what the keys need to know of those before."""

    def __init__(self) -> None:
        self._number = 0
        self._content = hashlib.sha256()
        self._sessions: dict[tuple[str, str], list[Origin]] = {}
        self.actions = 0
        self._bytes = 0

    def is_full(self, more: int) -> bool:
        return self.actions >= CHUNK_ACTIONS or (self.actions > 0 and self._bytes + more > CHUNK_BYTES)

    def add(self, session: tuple[str, str], origin: Origin) -> None:
        held = self._sessions.get(session)
        if held is None:
            held = self._sessions[session] = []
            self._bytes += len(session[0]) + len(session[1])
        held.append(origin)
        self.actions += 1
        self._bytes += len(origin[2])

    def cut(self) -> Chunk:
        body = b"".join(
            [
                b"[",
                b",".join(
                    [
                        b'{"userId":%b,"sessionId":%b,"actions":[%b]}'
                        % (encode(user), encode(session), b",".join([raw for _, _, raw in held]))
                        for (user, session), held in self._sessions.items()
                    ]
                ),
                b"]",
            ]
        )
        self._content.update(body)
        key = f"{_FORMAT}-{self._number}-{self._content.hexdigest()}"
        made = Chunk(key, body, self.actions, list(self._sessions.values()))
        self._number += 1
        self._sessions, self.actions, self._bytes = {}, 0, 0
        return made


def _read(record: Record) -> list[_Found | Refused]:
    """What a record holds."""
    line, raw, too_large = record
    if too_large:
        return [Refused(Where(line), "too_large", f"one value of over {MAX_RECORD >> 20} MiB", raw)]
    if raw[:1] == b"[" and is_whole(raw):
        return [_read_one(element.line, element.raw) for element in by_brackets(iter([raw]), line)]
    return [_read_one(line, raw)]


def _read_one(line: int, raw: bytes) -> _Found | Refused:
    try:
        found = _RECORD.decode(raw)
    except ValidationError as error:
        wanted = "a batch {userId, sessionId, actions} or a row with userId and sessionId"
        return Refused(Where(line), "not_batches", f"expected {wanted}: {_lower_first(str(error))}", raw)
    except DecodeError as error:
        why = _lower_first(str(error).removeprefix("JSON is malformed: ")) if raw else "the file ends inside its array"
        return Refused(Where(line), "not_json", f"not JSON: {why}", raw)
    except UnicodeDecodeError:
        return Refused(Where(line), "not_json", "not JSON: it holds bytes that are not UTF-8", raw)
    except RecursionError:
        return Refused(Where(line), "too_deep", "nested too deeply to read", raw)
    session = found.userId, found.sessionId
    if isinstance(found.actions, UnsetType):  # a row goes as it is: what an action does not know is not read
        return _Found(session, line, is_row=True, actions=[raw])
    return _Found(session, line, is_row=False, actions=[bytes(action) for action in found.actions])


def _unfit(where: Where, raw: bytes) -> Refused | None:
    """Why an action would spoil the request that it is sent in."""
    if len(raw) > MAX_RAW:
        return Refused(where, "action_too_large", f"{len(raw)} bytes of text", raw)
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _nesting(raw) > MAX_NESTING:
        return Refused(where, "too_deep", f"nested deeper than {MAX_NESTING}", raw)
    return None


def _nesting(raw: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", raw):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]

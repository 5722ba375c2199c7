"""GET /api/rejects: the query string -> one page of kept rejects, the oldest first.

What an action was is told as text, byte for byte where it was UTF-8. Leaves out replaying and dropping: those are
commands, as they need the folder.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.json import encode
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from footpath.action import MAX_ID_LENGTH
from footpath.errors import BadQuery
from footpath.journal.rejected import Chosen, KeptReject
from footpath.query import known, number, parameters, rfc3339
from footpath.validate import CODES

REJECTS_PATH = "/api/rejects"
NO_REJECTS = (
    "a server over a stream and a table keeps no rejects: the answer to a request names those of it, and"
    " footpath_actions_rejected_total of /metrics counts them by code"
)
PARAMETERS = ("userId", "code", "after", "limit")
MAX_LIMIT = 1_000
DEFAULT_LIMIT = 100
MAX_ID = 2**63 - 1  # of a row in SQLite

ReadRejects = Callable[[Chosen, int, int, bool], list[KeptReject]]
"""Gives chosen rejects with a higher id than the second argument, at most as many as the third; the newest if told."""


class Told(Struct):
    """A kept reject as it is told of; `raw` is cut where `length` says that the action was longer."""

    id: int
    at: str
    userId: str  # noqa: N815 - the name on the wire
    sessionId: str  # noqa: N815
    code: str
    message: str
    length: int
    isCut: bool  # noqa: N815
    raw: str


class Page(NamedTuple):
    """What is asked for."""

    chosen: Chosen
    after: int
    limit: int


class Rejects:
    """The route, over rejects that can be read once the server has started."""

    def __init__(self, read: Callable[[], ReadRejects]) -> None:
        """`read` gives what reads rejects at the time of a request; it may raise ReadFailed."""
        self._read = read

    async def answer(self, request: Request) -> Response:
        """Take one request."""
        page = parse(request.scope["query_string"])
        found = await run_in_threadpool(self._read(), page.chosen, page.after, page.limit, False)  # noqa: FBT003
        headers = {"cache-control": "no-store"}
        if found:  # whether there are more is known when the next page is asked for: it may end at a size, too
            following = {**dict(request.query_params), "after": str(found[-1].id)}
            headers["link"] = f'<{request.url.path}?{urlencode(following)}>; rel="next"'
        return Response(encode([told(reject) for reject in found]), headers=headers, media_type="application/json")


def told(reject: KeptReject) -> Told:
    """A reject as it is told of."""
    reject_id, at, user, session, code, message, length, raw = reject
    text = raw.decode("utf-8", "backslashreplace")
    return Told(reject_id, rfc3339(at), user, session, code, message, length, reject.is_cut, text)


def parse(raw: bytes) -> Page:
    """Read the query string.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    return build(parameters(raw))


def build(given: Mapping[str, Sequence[str]]) -> Page:
    """Make a Page of parameters, each with the values it was given.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    one = known(given, PARAMETERS)
    code, user_id = one.get("code"), one.get("userId")
    if code is not None and code not in CODES:
        raise BadQuery(f"code {code[:60]!r} is not one that an action is refused with; they are {', '.join(CODES)}")
    if user_id is not None and len(user_id) > MAX_ID_LENGTH:
        raise BadQuery(f"userId is longer than {MAX_ID_LENGTH} characters; no such id is ever kept")
    after = number("after", one.get("after", "0"), 0, MAX_ID)
    limit = number("limit", one.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
    return Page(Chosen(code=code, user_id=user_id), after, limit)

"""DELETE /api/users/{userId}: everything of a user goes; the answer is a receipt, and comes when the bytes are gone."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import parse_qs, unquote_to_bytes

from msgspec.json import encode
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from footpath.action import MAX_ID_LENGTH
from footpath.errors import BadQuery, ForgetFailed
from footpath.query import instant
from footpath.store.forgetting import Forget, told

PATH = "/api/users/"
PARAMETERS = ("before", "allowReturn")
POLL_SECONDS = 0.05
WAIT_SECONDS = 300.0  # for the receipt: 60 for readers that hold the log, and as much again for each thing before


class Users:
    """The route, over what takes orders once the server has started."""

    def __init__(self, forget: Callable[[], Forget], *, refuse_days: float) -> None:
        """Prepare to forget, and to refuse what comes late for so many days."""
        self._forget = forget
        self._refuse_days = refuse_days

    async def delete(self, request: Request) -> Response:
        """Take one request."""
        user_id = user_of(request.scope["raw_path"])
        before, is_allowed = asked_for(request.scope["query_string"])
        forget = self._forget()
        refuse_days = None if is_allowed else self._refuse_days
        asked = await run_in_threadpool(forget.ask, user_id, before=before, refuse_days=refuse_days)
        deadline = time.monotonic() + WAIT_SECONDS
        while (receipt := await run_in_threadpool(forget.receipt, asked.number)) is None:
            if time.monotonic() > deadline:
                raise ForgetFailed("not everything is removed yet; it goes on, ask again for the receipt")
            await asyncio.sleep(POLL_SECONDS)
        return Response(
            encode(told(user_id, asked, receipt)),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )


def user_of(raw_path: bytes) -> str:
    """The user that a path names, exactly: an id may hold any character, `/` as `%2F` or as it is.

    Raises:
        BadQuery: it is no id that can have been kept.
    """
    try:
        user_id = unquote_to_bytes(raw_path[len(PATH) :]).decode()
    except UnicodeDecodeError as error:
        raise BadQuery("the userId in the path is not UTF-8, so no such id is ever kept") from error
    if not 1 <= len(user_id) <= MAX_ID_LENGTH:
        raise BadQuery(f"the userId in the path is {len(user_id)} characters; every id has 1 to {MAX_ID_LENGTH}")
    return user_id


def asked_for(query: bytes) -> tuple[int | None, bool]:
    """The time before which actions go (None for all), and whether the user may come back at once.

    Raises:
        BadQuery: with the parameter and the next step in its message.
    """
    try:
        given = parse_qs(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError as error:
        raise BadQuery(f"the query string cannot be read: {error}") from error
    for name, values in given.items():
        if name not in PARAMETERS:
            raise BadQuery(f"there is no parameter {name[:60]!r}; known are {', '.join(PARAMETERS)}")
        if len(values) > 1:
            raise BadQuery(f"{name} is given {len(values)} times; give it once")
    allow = given.get("allowReturn", ["false"])[0]
    if allow not in {"true", "false"}:
        raise BadQuery(f"allowReturn is {allow[:60]!r}; it is true or false")
    before = given.get("before")
    if before is not None and "allowReturn" in given:
        raise BadQuery("before leaves the user what came later, so nothing is refused: leave allowReturn out")
    return None if before is None else instant("before", before[0]), allow == "true"

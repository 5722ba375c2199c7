"""/ui/users/{userId}: what one user did, session by session; their days, an export, and forgetting them."""

import asyncio
from typing import Any

from msgspec import structs
from msgspec.json import decode
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from footpath.find.answer import page
from footpath.overview import asked as asking
from footpath.overview.told import Session
from footpath.query import build, instant
from footpath.web.noting import RETRIEVE_PATH
from footpath.web.pages import charts, words
from footpath.web.pages.door import check_own, form_of
from footpath.web.pages.show import HEADERS, Handler, Show, address, segment
from footpath.web.users import PATH

SESSIONS = 20  # on a page
ACTIONS = 1_000  # on a page; a session that has more leads to the rest


class User:
    """The page of a user, and what can be done from there."""

    def __init__(self, show: Show, retrieve: Handler, forget: Handler) -> None:
        """Look with `show`; `retrieve` and `forget` are the routes of the API."""
        self._show = show
        self._retrieve = retrieve
        self._forget = forget

    async def answer(self, request: Request) -> Response:
        """The page."""
        user_id = _user(request)
        given = request.query_params
        day, session_id, cursor = (given.get(name, "").strip() for name in ("day", "session", "cursor"))
        of_day = {"fromTime": [day], "toTime": [day]} if day else {}
        listed = {"userId": [user_id], "limit": [str(SESSIONS)], **of_day} | ({"cursor": [cursor]} if cursor else {})
        sessions_asked = asking.sessions_of(listed)
        days_asked = asking.counts_of({"userId": [user_id], "bucket": ["day"]})
        overviews = self._show.sources.overviews()
        counting = self._show.look(lambda: overviews.counts(days_asked))
        listing = self._show.look(lambda: overviews.sessions(sessions_asked))
        if cursor and not session_id:  # which actions are theirs, older sessions have to tell first
            days, sessions = await asyncio.gather(counting, listing)
            lines, is_cut = await self._lines(user_id, of_day, between=sessions.sessions)
        else:
            finding = self._lines(user_id, of_day, session_id)
            days, sessions, (lines, is_cut) = await asyncio.gather(counting, listing, finding)
        total = sum(count.CLICK + count.VIEW + count.NAVIGATE for count in days.counts)
        may_forget = self._show.door.is_open_to("admin", request)

        def tell() -> dict[str, Any]:
            by_session = _by_session(lines, is_backward=not session_id)
            return {
                "user_id": user_id,
                "day": day,
                "session_id": session_id,
                "sessions": [_told(session, above, by_session) for session, above in _with_gaps(sessions.sessions)],
                "alone": words.timeline(by_session.get(session_id, [])) if session_id else None,
                "is_cut": is_cut,
                "older": sessions.next_cursor,
                "days": days,
                "total": total,
                "chart": charts.histogram(days),
                "may_forget": may_forget,
            }

        return await self._show.large(request, "user", tell, 200 if total else 404)

    async def export(self, request: Request) -> Response:
        """Everything of the user, as a file of NDJSON."""
        user_id = _user(request)
        scope = dict(request.scope) | {
            "path": RETRIEVE_PATH,
            "query_string": address("", {"userId": user_id})[1:].encode(),
            "headers": [(b"accept", b"application/x-ndjson")],
        }
        response = await self._retrieve(Request(scope, request.receive))
        response.headers["content-disposition"] = f"attachment; filename*=UTF-8''{segment(user_id)}.ndjson"
        return response

    async def forget(self, request: Request) -> Response:
        """Forget the user, when their id was typed in as the confirmation."""
        check_own(request)
        user_id = _user(request)
        if (await form_of(request)).get("confirm") != user_id:
            told = "nothing was forgotten: what you typed is not the id of the user; go back and type it exactly"
            return self._show.page(request, "error", 400, title="Not forgotten", message=told)
        path = f"{PATH}{segment(user_id)}"
        scope = dict(request.scope) | {"path": path, "raw_path": path.encode(), "query_string": b"", "method": "DELETE"}
        receipt = decode((await self._forget(Request(scope))).body)
        return self._show.page(request, "forgotten", user_id=user_id, receipt=receipt)

    async def find(self, request: Request) -> Response:
        """Go to the user whose id was typed in."""
        user_id = request.query_params.get("userId", "").strip()
        return RedirectResponse(f"/ui/users/{segment(user_id)}" if user_id else "/ui/", 303, HEADERS)

    async def _lines(
        self, user_id: str, of_day: dict[str, list[str]], session_id: str = "", between: list[Session] | None = None
    ) -> tuple[bytes, bool]:
        """A user's newest actions, those of one session, or those in the time of some, as NDJSON.

        Returns:
            They, and whether there are more.
        """
        asked = {"userId": [user_id], "limit": [str(ACTIONS)], "order": ["desc"], **of_day}
        query = build(asked | ({"sessionId": [session_id], "order": ["asc"]} if session_id else {}))
        if between:
            first = min(instant("fromTime", session.start) for session in between)
            last = max(instant("toTime", session.end) for session in between)
            query = structs.replace(query, time_from=first, time_to=last)
        found = await self._show.look(lambda: page(self._show.sources.find(), query, "ndjson"))
        return found.body, found.next_cursor is not None


def _user(request: Request) -> str:
    """The user that the path names: an id may hold any character, also a slash."""
    user_id: str = request.path_params["userId"]
    return user_id


def _by_session(ndjson: bytes, *, is_backward: bool) -> dict[str, list[dict[str, Any]]]:
    """Actions by their session, forward in time."""
    by_session: dict[str, list[dict[str, Any]]] = {}
    for text in ndjson.split(b"\n"):
        if text:
            line = decode(text)
            by_session.setdefault(line["sessionId"], []).append(line)
    if is_backward:
        for lines in by_session.values():
            lines.reverse()
    return by_session


def _with_gaps(sessions: list[Session]) -> list[tuple[Session, Session | None]]:
    """Each session with the one that came after it, which stands above it."""
    return [(session, sessions[place - 1] if place else None) for place, session in enumerate(sessions)]


def _told(session: Session, above: Session | None, lines: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    apart = 0.0 if above is None else words.between(session.end, above.start)
    return {
        **structs.asdict(session),
        "began": words.local(session.start, session.utc_offset),
        "gap": words.lasting(apart) if apart >= 60 else "",
        "length": words.lasting(words.between(session.start, session.end)),
        "timeline": words.timeline(lines.get(session.session_id, [])),
    }

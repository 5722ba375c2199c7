"""Until when an answer has everything that was said to be kept, in a header of its own: for fittings that lag."""

from collections.abc import Callable, MutableMapping

from footpath.query import rfc3339
from footpath.web.readers import Place

COMPLETE_UNTIL = "x-footpath-complete-until"

CompleteUntil = Callable[[], int | None]
"""Gives microseconds since 1970, or None when it is not known; in any thread."""


async def tell(headers: MutableMapping[str, str], complete_until: CompleteUntil | None, place: Place) -> None:
    """Put it into the headers, if reads lag at all: asked before the read, so it is never too late."""
    if complete_until is not None:
        until = await place.run(complete_until)
        headers[COMPLETE_UNTIL] = "unknown" if until is None else rfc3339(until)

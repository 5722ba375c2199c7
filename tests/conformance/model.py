"""What a query asks for, said of a list in memory: the model that finds and overviews are held against."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from footpath.query import Query


class Kept(Protocol):
    """An action that was kept."""

    @property
    def user(self) -> str:
        """Its userId."""
        ...

    @property
    def session(self) -> str:
        """Its sessionId."""
        ...

    @property
    def time(self) -> int:
        """Microseconds since 1970."""
        ...

    @property
    def type(self) -> str:
        """In upper case."""
        ...

    @property
    def seq(self) -> int:
        """Its place in the order of keeping."""
        ...


K = TypeVar("K", bound=Kept)


def matching(kept: Iterable[K], query: Query) -> list[K]:
    """The actions that a query asks for, the oldest first."""
    found = [
        one
        for one in kept
        if query.user_id in (None, one.user)
        and query.session_id in (None, one.session)
        and (not query.types or one.type in query.types)
        and (query.time_from is None or one.time >= query.time_from)
        and (query.time_to is None or one.time <= query.time_to)
    ]
    return sorted(found, key=lambda one: (one.time, one.seq))

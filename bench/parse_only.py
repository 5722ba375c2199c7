"""footpath's ceiling: its HTTP server, application, decode and checks, with a journal that keeps nothing.

Everything is footpath's own, its server settings included: only the fittings that `footpath.service` opens are put
in the place of others, and no keeper runs. What footpath itself loses against this is the price of durability.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from footpath import service
from footpath.action import Entry, RejectRow
from footpath.config import Settings
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.journal.base import ALL_NEW, Kept, Once
from footpath.keys.ring import Ring
from footpath.keys.source import TableKeys
from footpath.metrics.counts import Counts
from footpath.store.forgetting import LocalForget
from footpath.web.app import Fittings


class Nowhere:
    """A journal that says yes and keeps nothing."""

    def append(
        self, _entries: Sequence[Entry], _once: Once | None = None, _rejects: Sequence[RejectRow] = ()
    ) -> asyncio.Future[Kept]:
        done: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        done.set_result(ALL_NEW)
        return done

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        return


def open_nowhere(settings: Settings, stack: AsyncExitStack, counts: Counts) -> Fittings:  # noqa: ARG001 - called by its name
    """In the place of `service.open_embedded`."""
    find = DuckdbFind(settings.data, memory=settings.read_memory, read_seconds=settings.read_seconds)
    stack.callback(find.close)
    keys = Ring(TableKeys(settings.data), is_private=True)
    stack.callback(keys.close)
    forget = LocalForget(settings.data)
    stack.callback(forget.close)
    return Fittings(Nowhere(), find, dict, keys, forget, None, DuckdbOverviews(find))


@contextmanager
def no_keeper(settings: Settings) -> Iterator[None]:  # noqa: ARG001 - called by its name
    """In the place of `service.keeper`."""
    yield


def main() -> None:
    """Serve on the port that the one argument names."""
    service.open_embedded = open_nowhere
    setattr(service, "keeper", no_keeper)  # noqa: B010 - mypy refuses the plain way: the name is keeper.watch's
    with tempfile.TemporaryDirectory() as folder:
        service.serve(Settings(data=Path(folder) / "data", port=int(sys.argv[1])))


if __name__ == "__main__":
    main()

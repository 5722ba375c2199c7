"""footpath with the Kinesis journal in the place of SQLite's; everything else of the server is its own.

No keeper runs: with this journal there is nothing to flush here.
"""

import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from bench.parse_only import no_keeper
from footpath import service
from footpath.aws.address import stream_address
from footpath.aws.kinesis import KinesisJournal
from footpath.config import Settings
from footpath.find.duckdb import DuckdbFind
from footpath.find.overviews import DuckdbOverviews
from footpath.keys.ring import Ring
from footpath.keys.source import TableKeys
from footpath.metrics.counts import Counts
from footpath.store.forgetting import LocalForget
from footpath.web.app import Fittings


def open_kinesis(settings: Settings, stack: AsyncExitStack, counts: Counts) -> Fittings:
    """In the place of `service.open_embedded`."""
    journal = KinesisJournal(
        stream_address(sys.argv[2]), max_waiting_bytes=settings.waiting_bytes, committed=counts.committed
    )
    stack.push_async_callback(journal.close)
    find = DuckdbFind(settings.data, memory=settings.read_memory, read_seconds=settings.read_seconds)
    stack.callback(find.close)
    keys = Ring(TableKeys(settings.data), is_private=True)
    stack.callback(keys.close)
    forget = LocalForget(settings.data)
    stack.callback(forget.close)
    return Fittings(journal, find, dict, keys, forget, None, DuckdbOverviews(find))


def main() -> None:
    """Serve on the port of the first argument, into the stream of the second."""
    service.open_embedded = open_kinesis
    setattr(service, "keeper", no_keeper)  # noqa: B010 - mypy refuses the plain way: the name is keeper.watch's
    with tempfile.TemporaryDirectory() as folder:
        service.serve(Settings(data=Path(folder) / "data", port=int(sys.argv[1])))


if __name__ == "__main__":
    main()

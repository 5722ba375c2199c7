"""What `footpath.find.base` promises, kept by the finds over an Iceberg table: the suite of every find, over Trino."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from footpath.aws import trino as engines
from footpath.aws.address import TrinoAddress
from footpath.aws.engine import Engine
from footpath.aws.find import TableFind
from footpath.aws.trino import Trino
from tests.conformance import test_find as suite
from tests.scale import servers
from tests.scale.lake import Lake


class Table:
    """The find over an Iceberg table; what is kept is put into the table at once, as a sink does it later."""

    times = 12  # an engine takes a tenth of a second to begin

    def __init__(self, lake: Lake, engine: Engine, module: ModuleType) -> None:
        """The engine is made by `module`, which has its `CHUNK_ROWS`."""
        self.find = TableFind(engine)
        self._module = module
        self._lake = lake
        self._second = 0

    def keep(self, *names: str, user: str = "u") -> None:
        """See `Fitting.keep`."""
        self._lake.keep(suite.request(names, user, self._second))
        self._second += len(names)

    def settle(self) -> None:
        """See `Fitting.settle`: nothing is hot here."""

    def lose(self) -> None:
        """See `Fitting.lose`."""
        self._lake.lose()

    def cut_off(self) -> None:
        """See `Fitting.cut_off`."""
        self._lake.drop()

    def give_on(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        """See `Fitting.give_on`."""
        monkeypatch.setattr(self._module, "CHUNK_ROWS", rows)

    def close(self) -> None:
        """See `Fitting.close`."""
        self._lake.drop()


@pytest.fixture
def lake(aws: Mapping[str, str], s3: servers.S3, tmp_path: Path) -> Lake:
    """A table of the test's own."""
    assert aws
    return Lake(s3.bucket, tmp_path)


@pytest.fixture
def fitting(trino: servers.Trino, lake: Lake) -> Iterator[Table]:
    """The find over Trino."""
    engine = Trino(TrinoAddress(trino.host, trino.port, trino.catalog, lake.database))
    with closing(Table(lake, engine, engines)) as made:
        yield made


test_nothing_that_matches_ends_at_once = suite.test_nothing_that_matches_ends_at_once
test_what_was_kept_is_seen_at_once_and_once = suite.test_what_was_kept_is_seen_at_once_and_once
test_a_find_that_has_begun_does_not_change = suite.test_a_find_that_has_begun_does_not_change
test_a_large_answer_comes_in_chunks = suite.test_a_large_answer_comes_in_chunks
test_closing_early_lets_go = suite.test_closing_early_lets_go
test_what_cannot_be_read_never_just_ends = suite.test_what_cannot_be_read_never_just_ends
test_a_find_that_is_cut_off_says_so = suite.test_a_find_that_is_cut_off_says_so
test_many_threads_share_a_find = suite.test_many_threads_share_a_find

"""What the tests of this room share."""

from collections.abc import Iterator

import duckdb
import pytest

from footpath.store import parquet


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB for what comes after the crashes."""
    with parquet.engine(tmp_path_factory.mktemp("engine"), memory="100MB") as made:
        yield made

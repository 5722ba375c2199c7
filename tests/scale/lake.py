"""A table of its own for a test, filled by the sink's own parts: columns, files, one commit."""

import contextlib
import itertools
import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import zstandard
from pyiceberg.exceptions import NoSuchTableError

from footpath.action import Entry
from footpath.aws import positions, record
from footpath.aws.address import table_address
from footpath.aws.chunk import Chunk, Recent
from footpath.aws.columns import Columns
from footpath.aws.commit import Ended, Wanted, commit, upload
from footpath.aws.shards import Raw
from footpath.aws.table import catalog_of, make_table, open_table
from footpath.decode import read
from footpath.store import parquet

STREAM = "stream"
SHARD = "shardId-000000000000"


class Lake:
    """An Iceberg table in a database of its own, in the Glue and the S3 that the environment names."""

    def __init__(self, bucket: str, folder: Path) -> None:
        """Make the table; `folder` is for the files on their way."""
        self.database = f"d{uuid.uuid4().hex[:12]}"
        self.address = table_address(f"iceberg://glue/{self.database}/actions?warehouse=s3://{bucket}/{self.database}")
        self.catalog = catalog_of(self.address)
        self.table = make_table(self.catalog, self.address)
        self._folder = folder
        self._compressor = zstandard.ZstdCompressor()
        self._numbers = itertools.count(1)

    def keep(self, body: object, *, batch_ids: Sequence[str] = (), shard: str = SHARD) -> None:
        """Put what a request holds into the table, with these batch ids or fresh ones, in one commit."""
        entries = read(json.dumps(body).encode()).entries
        ids = batch_ids or [uuid.uuid4().hex for _ in entries]
        self.commit([self.raw(entry, batch) for entry, batch in zip(entries, ids, strict=True)], shard)

    def raw(self, entry: Entry, batch_id: str) -> Raw:
        """An entry as it comes out of a stream."""
        now = datetime.now(UTC)
        received_at = int(now.timestamp() * 1_000_000)
        data = record.encode(entry, batch_id, received_at, self._compressor)
        return Raw(f"{next(self._numbers)}", data, now)

    def commit(self, raws: Sequence[Raw], shard: str = SHARD) -> None:
        """Put records into the table, with the position and the count of their shard."""
        state = positions.states(self.properties, STREAM).get(shard, positions.State())
        position = raws[-1].number if raws else state.position
        expected = {positions.position_name(STREAM, shard): state.position}
        with parquet.engine(self._folder, memory="200MB") as engine:
            chunk = Chunk(Columns(engine, self._folder), Recent())
            last = chunk.add(shard, raws, state.given)
            changes = positions.changes(STREAM, shard, positions.State(position, last, datetime.now(UTC)))
            ended = Ended.FORGET
            while ended is Ended.FORGET:  # as a sink does: users who are to be forgotten are left out
                without = positions.forgotten(self.properties, datetime.now(UTC))
                files = [upload(self.table, one) for one in chunk.write(without)]
                wanted = Wanted(files, changes, expected, without)
                ended, self.table = commit(
                    lambda: open_table(self.catalog, self.address), wanted, stop=threading.Event()
                )
            assert not chunk.unreadable
        assert ended is Ended.LANDED

    @property
    def properties(self) -> Mapping[str, str]:
        """The table's properties, as they are now."""
        self.table = open_table(self.catalog, self.address)
        return self.table.metadata.properties

    def files(self) -> list[str]:
        """Where the table's data files are."""
        self.table = open_table(self.catalog, self.address)
        return [task.file.file_path for task in self.table.scan().plan_files()]

    def lose(self) -> None:
        """Cut the data files in half, as a damaged disk does."""
        for path in self.files():
            with self.table.io.new_input(path).open() as file:
                content = file.read()
            with self.table.io.new_output(path).create(overwrite=True) as stream:
                stream.write(content[: len(content) // 2])

    def drop(self) -> None:
        """Take the table away, if it is there; its files stay."""
        with contextlib.suppress(NoSuchTableError):
            self.catalog.drop_table((self.database, "actions"))

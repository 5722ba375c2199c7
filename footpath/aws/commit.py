"""The one transaction: files and positions together, or neither.

The catalog compares the snapshot that the transaction was made on with the one that is there, and swaps. Who comes
second loads the table again. Where the positions that it started from still stand, it commits the same files again;
else another sink has written the same records, and the files are dropped.

A user who is to be forgotten stands in the table, too: who loads it again sees that, and writes files without them.

When no answer came, the table says what happened: the positions that were to be set are there, or not.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

import structlog
from pyiceberg.conversions import to_bytes
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.typedef import Record as PartitionRecord
from pyiceberg.types import PrimitiveType

from footpath.aws import clients, positions
from footpath.aws.columns import Written
from footpath.aws.positions import Changes
from footpath.errors import CommandFailed

FIRST_PAUSE = 0.2  # s: a commit takes half a second or so
LONGEST_PAUSE = 5.0
BOUND_SECONDS = 300.0  # of tries of one commit; then the sink says so, and reads again from the positions
STOPPING_SECONDS = 15.0  # of tries once it is told to stop: whoever stops it waits for 30 most often

_log = structlog.get_logger()


class Ended(Enum):
    """What became of a commit."""

    LANDED = "landed"
    MOVED = "moved"  # another has written these records
    FORGET = "forget"  # a user is to be forgotten whose actions are still in the files


class Wanted(NamedTuple):
    """A transaction: files to add and properties to change, if those of `expected` are as they were (None: absent).

    `without` are the digests of the users whose actions were left out of the files.
    """

    files: Sequence[DataFile]
    changes: Changes
    expected: Mapping[str, str | None]
    without: frozenset[str] = frozenset()


def upload(table: Table, written: Written) -> DataFile:
    """Put a file where the table's files are; it is in no snapshot yet."""
    location = table.location_provider().new_data_location(f"time_day={written.day}/{written.path.name}")
    with table.io.new_output(location).create(overwrite=True) as stream:
        stream.write(written.path.read_bytes())
    return describe(table, written, location)


def describe(table: Table, written: Written, location: str) -> DataFile:
    """A file as the table keeps it."""
    fields = {field.name: field for field in table.schema().fields}
    lower: dict[int, bytes] = {}
    upper: dict[int, bytes] = {}
    for name, (smallest, largest) in written.bounds.items():
        kind = fields[name].field_type
        if isinstance(kind, PrimitiveType):
            lower[fields[name].field_id] = to_bytes(kind, smallest)
            upper[fields[name].field_id] = to_bytes(kind, largest)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=PartitionRecord(written.day),
        record_count=written.rows,
        file_size_in_bytes=written.path.stat().st_size,
        value_counts={field.field_id: written.rows for field in fields.values()},
        null_value_counts={
            field.field_id: written.rows - written.ids if name == "id" else 0 for name, field in fields.items()
        },
        lower_bounds=lower,
        upper_bounds=upper,
        split_offsets=written.splits,
        sort_order_id=table.sort_order().order_id,
        spec_id=table.spec().spec_id,
    )


def commit(
    load: Callable[[], Table], wanted: Wanted, *, stop: threading.Event, bound: float = BOUND_SECONDS
) -> tuple[Ended, Table]:
    """Make the transaction happen, or find why it must not; with the table as it is then.

    Raises:
        CommandFailed: it could not be done within the bound, which is shorter once `stop` is set.
    """
    began = time.monotonic()
    pause = FIRST_PAUSE
    tries = 0
    trouble = ""
    while True:
        try:
            table = load()
            ended = _ended(table.metadata.properties, wanted, tried=tries > 0)
            if ended is not None:
                return ended, table
            tries += 1
            return Ended.LANDED, _try(table, wanted)
        except (CommitFailedException, CommitStateUnknownException, OSError, *clients.AwsError) as error:
            if isinstance(error, clients.AwsError) and not clients.passes(error):
                raise
            trouble = f"{type(error).__name__}: {error}"
        wait = random.uniform(0, pause)  # noqa: S311 - it only spreads the tries
        if time.monotonic() + wait - began > (min(bound, STOPPING_SECONDS) if stop.is_set() else bound):
            raise CommandFailed(f"the table could not be written: {trouble}")
        time.sleep(wait)
        pause = min(LONGEST_PAUSE, pause * 2)


def _ended(properties: Mapping[str, str], wanted: Wanted, *, tried: bool) -> Ended | None:
    """What the table says of an earlier try; None if it is still to be done."""
    if all(properties.get(name) == value for name, value in wanted.expected.items()):
        missed = positions.forgotten(properties, datetime.now(UTC)) - wanted.without
        return Ended.FORGET if missed and wanted.files else None
    target = {name: wanted.changes.put.get(name) for name in wanted.expected}
    if tried and all(properties.get(name) == value for name, value in target.items()):
        return Ended.LANDED
    return Ended.MOVED


def _try(table: Table, wanted: Wanted) -> Table:
    with table.transaction() as transaction:
        if wanted.files or wanted.expected:
            with transaction.update_snapshot().merge_append() as append:
                for file in wanted.files:
                    append.append_data_file(file)
        drop = [name for name in wanted.changes.drop if name in table.metadata.properties]
        if drop:
            transaction.remove_properties(*drop)
        if wanted.changes.put:
            transaction.set_properties(wanted.changes.put)
    return table

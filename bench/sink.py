"""How many actions a second of one core the sink turns from records in memory into sorted Parquet files.

All of a round but the stream and S3: records are decompressed, decoded and compared with those seen before, turned into
columns, sorted and written, one file a day. Batches of 1 and of 100 actions as apps send them (`bench.bodies`), put by
the journal's own encoder. The process stays on one core, DuckDB on one thread.
By the clock it is less where others use that core, too: what they took is not in the seconds of CPU.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
import zstandard
from rich.console import Console
from rich.table import Table

from bench import bodies, machine, results
from footpath.aws import record
from footpath.aws.chunk import Chunk, Recent
from footpath.aws.columns import Columns
from footpath.aws.shards import Raw
from footpath.decode import read
from footpath.store import parquet

SHARD = "shardId-000000000000"
AIM = 200_000  # actions/s

console = Console(width=None if sys.stdout.isatty() else 110)


def raws(actions: int, total: int) -> list[Raw]:
    """Records of so many actions each, so many actions in all."""
    compressor = zstandard.ZstdCompressor(level=1)
    now = datetime.now(UTC)
    made = itertools.islice(bodies.batches(actions, seed=3), total // actions)
    entries = [read(json.dumps(batch).encode()).entries[0] for batch in made]
    return [
        Raw(f"{number}", record.encode(entry, uuid.uuid4().hex, 1_795_600_000_000_000, compressor), now)
        for number, entry in enumerate(entries)
    ]


class Taken(NamedTuple):
    """A chunk: seconds by the clock and of the processor, and the actions, files and bytes that came of it."""

    seconds: float
    cpu: float
    rows: int
    files: int
    size: int


def round_of(columns: Columns, records: list[Raw]) -> Taken:
    """Make files of these records."""
    began, cpu = time.perf_counter(), time.process_time()
    chunk = Chunk(columns, Recent())
    chunk.add(SHARD, records, 0)
    written = chunk.write()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = sum(file.path.stat().st_size for file in written)
    for file in written:
        file.path.unlink()
    rows = sum(file.rows for file in written)
    if rows != chunk.actions or chunk.unreadable:
        raise RuntimeError(f"{rows} rows of {chunk.actions} actions, {len(chunk.unreadable)} records unreadable")
    return Taken(seconds, cpu, rows, len(written), size)


def main(
    total: Annotated[int, typer.Option(help="Actions of a chunk.", min=1_000)] = 400_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    memory: Annotated[str, typer.Option(help="What DuckDB may use.")] = "512MB",
) -> None:
    """Measure, print the table, keep JSON."""
    core = machine.cores().server
    facts = machine.facts(Path(tempfile.gettempdir()))
    os.sched_setaffinity(0, {core})
    shown = Table(title=f"actions a second from memory to Parquet on one core; the aim is {AIM:,}")
    for column in ("actions a record", "a second of CPU", "by the clock", "bytes an action", "files"):
        shown.add_column(column, justify="right")
    kept = []
    with tempfile.TemporaryDirectory() as folder, parquet.engine(Path(folder), memory=memory) as engine:
        columns = Columns(engine, Path(folder))
        for actions in (1, 100):
            records = raws(actions, total)
            round_of(columns, records[: len(records) // 10])  # warm up
            taken = [round_of(columns, records) for _ in range(rounds)]
            wall, cpu = [
                [one.rows / spent for one, spent in zip(taken, times, strict=True)]
                for times in ([one.seconds for one in taken], [one.cpu for one in taken])
            ]
            row = (f"{actions}", f"{statistics.median(cpu):,.0f}", f"{statistics.median(wall):,.0f}")
            size = taken[0].size / taken[0].rows
            shown.add_row(*row, f"{size:.1f}", f"{taken[0].files}")
            kept.append({"actions": actions, "cpu_rates": cpu, "rates": wall, "bytes_an_action": size})
    console.print(shown)
    for path in results.save("sink", {"machine": facts, "total": total, "memory": memory, "cells": kept}):
        console.print(f"kept {path}")


if __name__ == "__main__":
    typer.run(main)

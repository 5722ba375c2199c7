"""How large actions become past one machine, in the stream and in the table: `python -m bench.size FILE`.

FILE is what `footpath demo --out FILE` writes, not gzipped. Prints actions in a batch, bytes of a record in the stream,
and bytes of an action as JSON and in a sorted file.
"""

import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import zstandard

from footpath.action import Entry
from footpath.aws import record
from footpath.aws.chunk import Chunk, Recent
from footpath.aws.columns import Columns
from footpath.aws.shards import Raw
from footpath.decode import read
from footpath.store import parquet

RECEIVED_AT = 1_764_000_000_000_000


def main(path: Path) -> None:
    """Print the sizes of what is in the file."""
    with path.open("rb") as file:
        entries: list[Entry] = [entry for line in file for entry in read(line).entries]
    compressor = zstandard.ZstdCompressor(level=1)
    now = datetime.now(UTC)
    records = [
        Raw(f"{place}", record.encode(entry, secrets.token_hex(16), RECEIVED_AT, compressor), now)
        for place, entry in enumerate(entries)
    ]
    in_stream = sum(len(one.data) for one in records)
    with tempfile.TemporaryDirectory() as name, parquet.engine(Path(name), memory="1GB") as engine:
        chunk = Chunk(Columns(engine, Path(name)), Recent())
        chunk.add("shardId-000000000000", records, 0)
        stored = sum(written.path.stat().st_size for written in chunk.write())
        actions = chunk.actions
    as_json = sum(len(entry.actions) for entry in entries)
    print(f"{actions:,} actions, {actions / len(entries):.1f} in a batch")
    print(f"a record: {in_stream / len(entries):.0f} bytes")
    print(f"an action: {as_json / actions:.0f} bytes as JSON, {stored / actions:.1f} in a sorted file")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

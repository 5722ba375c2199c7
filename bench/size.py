"""How large actions become past one machine, in the stream and in the table: `python -m bench.size FILE`.

FILE is what `footpath demo --out FILE` writes, not gzipped. Prints actions in a batch, bytes of a record in the stream,
and bytes of an action as JSON and in a sorted file.
"""

import secrets
import sys
import tempfile
from pathlib import Path

import zstandard

from footpath.action import Entry
from footpath.aws import record
from footpath.aws.columns import Columns, Numbered
from footpath.aws.record import Record
from footpath.decode import read
from footpath.store import parquet

RECEIVED_AT = 1_764_000_000_000_000


def main(path: Path) -> None:
    """Print the sizes of what is in the file."""
    with path.open("rb") as file:
        entries: list[Entry] = [entry for line in file for entry in read(line).entries]
    compressor = zstandard.ZstdCompressor(level=1)
    numbered = []
    actions = in_stream = 0
    for entry in entries:
        batch = secrets.token_hex(16)
        in_stream += len(record.encode(entry, batch, RECEIVED_AT, compressor))
        one = Record(batch, entry.user_id, entry.session_id, RECEIVED_AT, entry.actions.decode())
        numbered.append(Numbered(one, (actions + 1) << 16))
        actions += entry.number
    with tempfile.TemporaryDirectory() as name, parquet.engine(Path(name), memory="1GB") as engine:
        columns = Columns(engine, Path(name))
        columns.add(numbered)
        stored = sum(written.path.stat().st_size for written in columns.write())
    as_json = sum(len(entry.actions) for entry in entries)
    print(f"{actions:,} actions, {actions / len(entries):.1f} in a batch")
    print(f"a record: {in_stream / len(entries):.0f} bytes")
    print(f"an action: {as_json / actions:.0f} bytes as JSON, {stored / actions:.1f} in a sorted file")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Appends one batch after the other to the journal of a folder, and says of each whether it was kept.

`python failing.py FOLDER NUMBER`: prints "kept NAME" or "failed NAME" a line. After a failure it offers one more at
once, which must fail too, and goes on when the journal has mended itself.
"""

import asyncio
import json
import sys
from pathlib import Path

from footpath import database
from footpath.decode import read
from footpath.errors import JournalFailed
from footpath.journal.sqlite import SqliteJournal


async def offer(journal: SqliteJournal, name: str) -> bool:
    """Offer one action; whether it was kept."""
    action = {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"name": name}}
    body = json.dumps({"userId": "u", "sessionId": "s", "actions": [action]})
    try:
        await journal.append(read(body.encode()).entries)
    except JournalFailed:
        print("failed", name, flush=True)
        return False
    print("kept", name, flush=True)
    return True


async def main() -> None:
    """Offer them all."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    database.prepare(folder)
    journal = SqliteJournal(folder, max_actions=10**9, max_waiting_bytes=10**9)
    for place in range(number):
        if not await offer(journal, f"{place}"):
            assert journal.trouble() is not None
            assert not await offer(journal, f"{place} again")
            while journal.trouble() is not None:  # noqa: ASYNC110 - a journal has no event to wait for
                await asyncio.sleep(0.05)
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main())

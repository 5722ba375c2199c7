"""What an id of an action costs: CPU time of decode, check, append and commit, with ids and without, in one process.

Requests come in groups of 50, each of a user of its own. Leaves out HTTP and the disk: the folder is best in memory
(`TMPDIR=/dev/shm`), since it is the work that is measured and not the device.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from footpath import database
from footpath.decode import read
from footpath.journal.sqlite import SqliteJournal
from footpath.service import SWITCH_SECONDS

GROUP = 50
ROUNDS = 7
ACTIONS = 100_000  # a round, in requests of 100; a tenth of it in requests of one


def bodies(requests: int, actions: int, *, identified: bool) -> list[bytes]:
    made = []
    for _ in range(requests):
        batch = [
            {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}}
            | ({"id": f"{random.getrandbits(128):032x}"} if identified else {})
            for _ in range(actions)
        ]
        user = f"u{random.getrandbits(32):08x}"
        made.append(json.dumps([{"userId": user, "sessionId": "s", "actions": batch}]).encode())
    return made


async def once(journal: SqliteJournal, sent: list[bytes]) -> float:
    """Microseconds of CPU a request."""
    began = time.process_time()
    for start in range(0, len(sent), GROUP):
        await asyncio.gather(*[journal.append(read(body).entries) for body in sent[start : start + GROUP]])
    return (time.process_time() - began) / len(sent) * 1e6


async def measure() -> None:
    with tempfile.TemporaryDirectory(prefix="footpath-ids-") as name:
        database.prepare(Path(name))
        journal = SqliteJournal(Path(name), max_actions=10**9, max_waiting_bytes=10**9)
        for actions, requests in ((1, ACTIONS // 10), (100, ACTIONS // 100)):
            without = with_ids = float("inf")
            for _ in range(ROUNDS):
                without = min(without, await once(journal, bodies(requests, actions, identified=False)))
                with_ids = min(with_ids, await once(journal, bodies(requests, actions, identified=True)))
            print(
                f"{actions} actions a request: {without / actions:.2f} us an action without ids,"
                f" {with_ids / actions:.2f} with"
            )
        await journal.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(measure())

"""What was offered, what was acknowledged, and whether what is found afterwards agrees.

Whoever sends actions notes each before it is sent, and each acknowledgement when it has come: in a file of its own,
synced before it counts, outside of what is killed, cut off or filled up. In the end everything is read back through the
API and compared, as multisets of the sha256 of whole actions: user, session, time, type and properties.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]


def digest(user: str, session: str, action: Json) -> str:
    """The sha256 of an action, as it was sent or as it was read back. What the server added does not count."""
    facts = [user, session, action["time"], action["type"], action["properties"]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class Verdict(NamedTuple):
    """How what was found agrees with what was noted: numbers of actions.

    lost: acknowledged and not found; twice: found more often than offered; altered: found and never offered.
    """

    acknowledged: int
    found: int
    lost: int
    altered: int
    twice: int

    @property
    def clean(self) -> bool:
        """Whether everything that was said is true."""
        return self.lost == self.altered == self.twice == 0

    def __add__(self, other: object) -> "Verdict":
        """The sum of two."""
        assert isinstance(other, Verdict)
        return Verdict(*(one + another for one, another in zip(self, other, strict=True)))


NOTHING = Verdict(0, 0, 0, 0, 0)


class Notes:
    """The notes of one load. Any thread may write."""

    def __init__(self, file: Path) -> None:
        """Write acknowledgements to `file`."""
        self._lock = threading.Lock()
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._offered: set[str] = set()
        self.acknowledged: list[str] = []
        """Digests in the order of the acknowledgements: those before a moment are `acknowledged[:its length then]`."""

    def offer(self, digests: Iterable[str]) -> None:
        """Note actions that are about to be sent. Each is sent with a name that no other has."""
        with self._lock:
            self._offered.update(digests)

    def acknowledge(self, key: str, user: str, digests: Iterable[str]) -> None:
        """Note actions that were acknowledged; they count when this returns."""
        digests = list(digests)
        lines = b"".join([f"{json.dumps([key, user, digest])}\n".encode() for digest in digests])
        with self._lock:
            os.write(self._file, lines)
            os.fsync(self._file)
            self.acknowledged += digests

    def judge(self, ndjson: bytes, acknowledged: int | None = None) -> Verdict:
        """Compare with all that was read back. Only the first so many acknowledgements must be there; None: all."""
        found: Counter[str] = Counter()
        seqs = set()
        for line in ndjson.splitlines():
            action = json.loads(line)
            found[digest(action["userId"], action["sessionId"], action)] += 1
            seqs.add(action["seq"])
        assert len(seqs) == found.total(), "a seq was given twice"
        with self._lock:
            said = set(self.acknowledged if acknowledged is None else self.acknowledged[:acknowledged])
            altered = found.keys() - self._offered
        return Verdict(
            len(said),
            found.total(),
            len(said - found.keys()),
            sum(found[one] for one in altered),
            sum(times - 1 for times in found.values()),
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

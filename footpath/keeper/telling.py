"""What the keeper tells of its work: its counts on the board, and a line now and then of what it has done.

A flush and its merges are no news one by one, at ten a minute; what they come to in ten minutes is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from footpath.metrics.board import KEEPER, Place
from footpath.metrics.counts import KeeperCounts

WRITE_SECONDS = 1.0
SUMMARY_SECONDS = 600.0

_log = structlog.get_logger()


@contextmanager
def telling(folder: Path, counts: KeeperCounts) -> Iterator[None]:
    """Tell of the counts while the block runs."""
    try:
        place = Place(folder, KEEPER)
    except OSError as error:  # on a full disk: flushing matters more than telling of it
        _log.warning("the keeper's counts cannot be told", error=f"{type(error).__name__}: {error}")
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_tell, args=(place, counts, stop), name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        place.close()


def _tell(place: Place, counts: KeeperCounts, stop: threading.Event) -> None:
    waited = 0.0
    told = (0, 0, 0)
    while True:
        stopped = stop.wait(WRITE_SECONDS)
        place.write(counts.taken())
        waited += WRITE_SECONDS
        now = (counts.flushed, counts.merged, counts.expired)
        if now != told and (stopped or waited >= SUMMARY_SECONDS):
            flushed, merged, expired = (a - b for a, b in zip(now, told, strict=True))
            _log.info("kept", seconds=round(waited), flushed=flushed, merged=merged, expired=expired)
            waited, told = 0.0, now
        if stopped:
            return

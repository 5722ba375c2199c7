"""The keeper as its server sees it: a child process that is started again when it ends.

The keeper's standard input is a pipe that only the server holds: it ends however the server ends.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import structlog

from footpath.config import Settings

RESTART_SECONDS = (0.2, 10.0)  # first wait and longest wait before a keeper that died is started again

_log = structlog.get_logger()


@contextmanager
def keeper(settings: Settings) -> Iterator[None]:
    """Keep a keeper running beside this process: one that dies, or that could not be started, is started again."""
    stopping = threading.Event()
    running: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=_watch, args=(settings, running, stopping), name="keeper-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        for process in running:
            _end(process)
        thread.join()


def _watch(settings: Settings, running: list[subprocess.Popen[bytes]], stopping: threading.Event) -> None:
    """Start the keeper and wait for its end, again and again; the one that runs stands in `running`."""
    arguments = [sys.executable, "-m", "footpath.keeper", json.dumps(asdict(settings), default=str)]
    shortest, longest = RESTART_SECONDS
    wait = shortest
    while not stopping.is_set():
        started = time.monotonic()
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.PIPE)
        except OSError as error:  # no memory, processes or files left
            code: int | str = f"it could not be started: {error.strerror or error}"
        else:
            running[:] = [process]
            if stopping.is_set():
                _end(process)
            code = process.wait()
            _end(process)
        if stopping.is_set():
            return
        wait = shortest if time.monotonic() - started > longest else min(longest, wait * 2)
        _log.error("the keeper ended; starting it again", code=code, wait_seconds=wait)
        stopping.wait(wait)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a keeper to stop, by ending its input."""
    if process.stdin is not None:
        process.stdin.close()

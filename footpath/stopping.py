"""How a server stops when it is told to.

first signal    No new connection is taken, requests that run are finished (for `GRACE_SECONDS`), what waits for its
                commit is committed, the keeper finishes what it is at. Exit code 0.
second signal   The process ends at once, with exit code 1, as after `kill -9`: what was acknowledged is on disk, what
                was not gets no answer. Workers and keeper see that it has gone, and end too.

A signal to a worker is not counted: Ctrl-C reaches every process of a terminal, and the supervisor tells them again.
"""

import gc
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.supervisors import Multiprocess

GRACE_SECONDS = 30  # a submit takes milliseconds, a large download may be asked for again
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server(uvicorn.Server):
    """uvicorn's server in the one process; `told` are the signals that stopped it."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Prepare to serve."""
        super().__init__(config)
        self.told: list[int] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or stop at once when that has begun."""
        if self.should_exit:
            end_now(sig)
        self.told.append(sig)
        super().handle_exit(sig, frame)


class Supervisor(Multiprocess):
    """uvicorn's supervisor of several worker processes; `told` are the signals that stopped it."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """Prepare to supervise."""
        super().__init__(config, sockets)
        self.told: list[int] = []
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def terminate_all(self) -> None:
        """Stop the workers, and listen no more: else what connects now would wait for nobody."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.told:
            end_now(number)
        self.told.append(number)
        self.signal_queue.append(number)


def end_now(number: int) -> NoReturn:
    """End this process. The line is written by hand: a signal may come while the log is at work."""
    os.write(2, b'{"event": "stopped at once", "reason": "a second %s"}\n' % signal.Signals(number).name.encode())
    os._exit(1)


def end_with(supervisor: Any) -> None:
    """Stop this worker when the process that started it is gone: nothing keeps its journal and the port is wanted.

    uvicorn takes SIGINT for the wish to stop, and when it is stopping already, for the wish to wait no longer.
    """
    supervisor.join()
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def in_order(server: Server) -> Iterator[None]:
    """Outlive the signal that stops uvicorn, which raises it once more when it is done: there is more to close."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if not server.should_exit:  # it came before uvicorn listened to signals
            server.told.append(number)
        server.should_exit = True

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        gc.unfreeze()  # what is frozen is not freed at exit, of which DuckDB complains in fifty lines

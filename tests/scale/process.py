"""A server that is not ours, as a process on loopback: started, waited for, and stopped by whoever started it."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 180.0  # Trino takes 15 s alone; but others who use the machine may leave it next to nothing
STOP_SECONDS = 20.0


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    answers: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; the block begins when it answers. Its output goes to `log`.

    Raises:
        AssertionError: it ended, or did not answer in time; with the end of its log.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(answers):
            ended = process.poll()
            assert ended is None, f"{command[0]} ended with {ended}: {_end_of(log)}"
            assert time.monotonic() < end, f"{command[0]} did not answer in {START_SECONDS:.0f} s: {_end_of(log)}"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(question: Callable[[], bool]) -> bool:
    """Whether a server answers; one that does not listen yet does not."""
    try:
        return question()
    except OSError:
        return False


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-4000:]

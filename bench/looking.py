"""A client that loads footpath's pages one after the other, all the time: `python -m bench.looking PORT ID...`.

The pages of users, the search with its histogram, flows and the live page, as a browser asks for them. It ends when its
standard input does, and then prints how many it has loaded, and their times in ms. `beside` runs it.
"""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import IO, Any, cast

from bench.machine import ROOT


def main(port: int, users: Sequence[str]) -> None:
    """Load, until the input ends."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    took: dict[str, list[float]] = {}
    for user in itertools.cycle(users):
        pages = {"user": f"/ui/users/{user}", "search": "/ui/?logType=view", "flows": "/ui/flows", "live": "/ui/tail"}
        for name, path in pages.items():
            if ended.is_set():
                print(json.dumps(took))
                return
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise RuntimeError(f"{path} was answered {answer.status}")


@contextmanager
def beside(port: int, users: Sequence[str], core: int) -> Iterator[dict[str, list[float]]]:
    """Load pages while the block runs; the times by page, when it has ended."""
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), sys.executable, "-m", "bench.looking", str(port), *users],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    took: dict[str, list[float]] = {}
    try:
        yield took
        cast("IO[str]", process.stdin).close()
        told: dict[str, Any] = json.loads(cast("IO[str]", process.stdout).read() or "{}")
        if process.wait(60) != 0:
            raise RuntimeError(f"who loads pages ended with {process.returncode}")
        took.update(told)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

"""Runs `bench.pace` on a core of its own and gives what it saw."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine

LOOK_EVERY = 0.5  # s


def pace(order: dict[str, Any], folder: Path, core: int, look: Callable[[], object] | None = None) -> dict[str, Any]:
    """Drive an open-loop load to its end, calling `look` now and then meanwhile; what was seen (see bench.pace)."""
    answer = folder / "seen.json"
    generator = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), sys.executable, "-m", "bench.pace", str(answer)],
        stdin=subprocess.PIPE, text=True, cwd=machine.ROOT,
    )  # fmt: skip
    try:
        assert generator.stdin is not None
        json.dump(order, generator.stdin)
        generator.stdin.close()
        while generator.poll() is None:
            try:
                generator.wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if look is not None:
                    look()
    finally:
        generator.kill()
        generator.wait()
    if generator.returncode != 0:
        raise RuntimeError(f"the load generator ended with {generator.returncode}")
    seen: dict[str, Any] = json.loads(answer.read_text())
    return seen

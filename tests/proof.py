"""How often the random tests try, with what seed, and where they write down what they reached.

The same tests run short in `make test` and long in `make torture`, which sets the counts, and PUBLISH to a folder:
there each test leaves a JSON file with its numbers, which docs/PROMISES.md cites. A machine that lacks something makes
a test skip in `make test`, with the reason; in `make torture` it fails.
"""

import json
import os
import platform
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLISH = os.environ.get("PUBLISH", "")
MUST = bool(os.environ.get("TORTURE"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
_STARTED = time.monotonic()


def times(name: str, usual: int) -> int:
    """How often to try: the environment's `name`, else `usual`."""
    return int(os.environ.get(name, "0") or 0) or usual


def missing(what: str, command: str) -> None:
    """Skip a test for which this machine lacks something, with the command that mends it; fail in `make torture`."""
    message = f"NOT TESTED: {what}; {command}"
    if MUST:
        pytest.fail(message)
    pytest.skip(message)


def need_root(what: str) -> None:
    """Skip or fail unless this is root on Linux, who may mount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        missing(what, "it mounts file systems: run it as root on Linux")


def publish(name: str, **numbers: object) -> None:
    """Print what a test has reached, and write it down as `name`.json if asked to."""
    reached = {
        "test": os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "code": _commit(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - _STARTED),
        "seed": SEED,
        **numbers,
    }
    print(f"\n{name}: {json.dumps(reached)}")
    if PUBLISH:
        folder = ROOT / PUBLISH
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(reached, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    """The last commit that changed footpath itself, and whether it was changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        last = subprocess.run(
            [*git, "log", "-1", "--format=%h", "--", "footpath"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain", "--", "footpath"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not from git"
    return last.stdout.strip() + (" and changes" if changed.stdout else "")

"""A disk that says it could not write: nothing is said to be kept that is not, and nothing that was said is lost.

strace makes the N-th fdatasync of the process fail, or kills it there.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from footpath import database
from footpath.journal import hot

FAILING = Path(__file__).with_name("failing.py")
NUMBER = 8
STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(STRACE is None, reason="NOT TESTED: errors of fsync; install strace")


def offer(folder: Path, fault: str, when: str) -> tuple[list[str], list[str], int]:
    """Offer batches while the N-th fdatasync has a fault; the names that were kept, those that failed, exit status."""
    database.prepare(folder)
    command = [f"{STRACE}", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]
    command += ["-e", f"inject=fdatasync:{fault}:when={when}", sys.executable, str(FAILING), str(folder), f"{NUMBER}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "ptrace" in done.stderr:
        pytest.skip(f"NOT TESTED: errors of fsync; strace may not trace here: {done.stderr.strip()[:100]}")
    said = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return (
        [name for word, name in said if word == "kept"],
        [name for word, name in said if word == "failed"],
        done.returncode,
    )


def found(folder: Path) -> Counter[str]:
    """The names in the journal of a folder, with how often."""
    database.prepare(folder)
    with closing(database.connect(folder, readonly=True)) as connection, database.snapshot(connection):
        rows = hot.matching(connection)
    return Counter(action["properties"]["name"] for text in rows.actions for action in json.loads(text))


def test_an_fsync_that_fails_is_never_a_yes(tmp_path: Path) -> None:
    """Whichever fdatasync of an append fails, that append and the next one fail, and the journal goes on by itself.

    All that was kept is there once after a restart; what failed is there once at most.
    """
    failures = 0
    for when in range(1, NUMBER, 2):
        folder = tmp_path / f"{when}"
        kept, failed, status = offer(folder, "error=EIO", f"{when}")
        assert status == 0
        names = found(folder)
        assert set(kept) <= names.keys() <= set(kept) | set(failed)
        assert set(names.values()) == {1}
        assert [f"{name} again" for name in failed[::2]] == failed[1::2]
        assert len(kept) + len(failed[::2]) == NUMBER
        failures += len(failed) // 2
    assert failures >= 3


def test_a_disk_that_goes_on_failing_gets_no_yes(tmp_path: Path) -> None:
    """While five fdatasyncs in a row fail the journal stays in trouble; then it goes on, and has all it kept."""
    kept, failed, status = offer(tmp_path / "data", "error=EIO", "3..7")
    assert status == 0
    assert len(failed) >= 2
    names = found(tmp_path / "data")
    assert set(kept) <= names.keys()
    assert set(names.values()) == {1}


def test_a_kill_at_any_fsync_loses_nothing(tmp_path: Path) -> None:
    """Killed at an fdatasync, what was said to be kept before is there once."""
    for when in range(1, NUMBER, 2):
        folder = tmp_path / f"{when}"
        kept, failed, status = offer(folder, "signal=SIGKILL", f"{when}")
        assert (failed, status != 0) == ([], True)
        names = found(folder)
        assert set(kept) <= names.keys()
        assert set(names.values()) <= {1}

"""Each fitting of the journal in turn, and a disk that can be full, which it must stand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.journals import FITTINGS, Fitting


@pytest.fixture(params=FITTINGS.values(), ids=list(FITTINGS))
def fitting(request: pytest.FixtureRequest) -> Fitting:
    """Each fitting of the journal in turn."""
    made: Fitting = request.param
    return made


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, of a few megabytes."""

    path: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free while the block runs."""
        filler = self.path / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass
        except OSError:
            pass  # full: that is what was wanted
        try:
            assert os.statvfs(self.path).f_bavail == 0
            yield
        finally:
            filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A tmpfs of 8 MB, which only root on Linux can mount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("NOT TESTED: what happens on a full disk; run the tests as root on Linux for that")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True, timeout=30)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)

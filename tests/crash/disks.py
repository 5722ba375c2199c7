"""Disks of their own in a file, that can be cut off, filled up and thrown away. Only root on Linux can mount them."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.proof import missing, need_root

PACKAGES = {"mkfs.xfs": "xfsprogs", "mkfs.ext4": "e2fsprogs", "mount": "mount", "strace": "strace"}


def need(*commands: str) -> None:
    """Skip or fail unless these commands are there."""
    path = f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"
    lacking = [command for command in commands if shutil.which(command, path=path) is None]
    if lacking:
        packages = " ".join(PACKAGES[command] for command in lacking)
        missing(f"this machine has no {', '.join(lacking)}", f"install it: apt-get install {packages}")


def run(*command: object) -> None:
    """Run a command, which must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@contextlib.contextmanager
def mounted(image: Path, where: Path) -> Iterator[Path]:
    """The file system in an image, while the block runs."""
    where.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, where)
    try:
        yield where
    finally:
        run("umount", "--lazy", where)  # not held up by a process that is about to end


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """An ext4 of so many megabytes."""
    need_root("what happens on a full disk")
    need("mkfs.ext4", "mount")
    image = folder / "small.img"
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    run("mkfs.ext4", "-q", "-m", "0", image)
    with mounted(image, folder / "small") as where:
        yield where
    image.unlink()


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no byte of a disk free while the block runs."""
    filler = disk / "filler"
    try:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(bytes(size)) == size:
                    pass
        assert os.statvfs(disk).f_bavail < 4
        yield
    finally:
        filler.unlink()


@dataclass
class CutDisk:
    """An ext4 in a file on an XFS that can copy it in no time: a copy is what a power cut leaves.

    It leaves what the kernel has handed to the disk by then, in whatever order; what is only in the kernel's memory is
    lost. It does not leave out what a disk has taken and keeps in a cache of its own.
    """

    folder: Path
    image: Path
    path: Path

    def cut(self, name: str) -> Path:
        """The disk as a power cut at this moment leaves it, as an image."""
        copy = self.image.with_name(f"{name}.img")
        run("cp", "--reflink=always", self.image, copy)
        return copy


@contextlib.contextmanager
def cut_disk(folder: Path, megabytes: int = 2048) -> Iterator[CutDisk]:
    """Such a disk, while the block runs."""
    need_root("power cuts")
    need("mkfs.xfs", "mkfs.ext4", "mount")
    folder.mkdir(exist_ok=True)
    outer = folder / "xfs.img"
    with outer.open("wb") as file:
        file.truncate(2 * megabytes << 20)
    run("mkfs.xfs", "-q", "-m", "reflink=1", outer)
    with mounted(outer, folder / "xfs") as xfs:
        image = xfs / "disk.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        run("mkfs.ext4", "-q", image)
        with mounted(image, folder / "disk") as disk:
            yield CutDisk(folder, image, disk)
    outer.unlink()

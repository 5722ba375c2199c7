"""The programs the benchmark needs besides Python's packages: wrk and PostgreSQL, installed by apt when missing."""

import os
import shutil
import subprocess
from pathlib import Path

POSTGRES = Path("/usr/lib/postgresql")  # where Debian and Ubuntu put it, one folder a version


class ToolMissingError(RuntimeError):
    """A program is not there and could not be installed; the message says what to do."""


def program(name: str, package: str) -> Path:
    """Where the program is, installing its Debian package when it is not there."""
    found = shutil.which(name)
    if found is None:
        install(package)
        found = shutil.which(name)
    if found is None:
        raise ToolMissingError(f"{name} is still missing after installing {package}")
    return Path(found)


def postgres_binaries() -> Path:
    """The folder of initdb and postgres, the newest version that is installed."""
    if not list(POSTGRES.glob("*/bin/initdb")):
        install("postgresql")
    versions = sorted(POSTGRES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not versions:
        raise ToolMissingError(f"no initdb under {POSTGRES} after installing postgresql")
    return versions[-1].parent


def install(package: str) -> None:
    """apt-get install; RUNLEVEL=1 keeps Debian from starting a service that the benchmark does not use."""
    if shutil.which("apt-get") is None:
        raise ToolMissingError(f"{package} is missing and this is no Debian: install it by hand")
    if os.geteuid() != 0:
        raise ToolMissingError(f"{package} is missing: run `sudo apt-get install {package}`, or this benchmark as root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        subprocess.run(["apt-get", "-qq", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)

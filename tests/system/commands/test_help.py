"""The command line itself: help, version, and how quick they are."""

import re
import subprocess
import sys

import pytest

from tests.system.commands.conftest import Run, environment

COMMANDS = (
    "serve",
    "import",
    "find",
    "export",
    "sql",
    "check",
    "backup",
    "restore",
    "demo",
    "key",
    "sink",
    "setup",
    "push",
    "expire",
    "forget",
)


def test_without_arguments_it_says_what_it_can(run: Run) -> None:
    """`footpath` alone prints the help that `footpath --help` prints."""
    alone, asked = run(), run("--help")
    assert alone.out == asked.out
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", alone.out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str, run: Run) -> None:
    """The help of a command holds an example of it."""
    assert f"Example: footpath {command} " in run(command, "--help").out


def test_it_says_its_version(run: Run) -> None:
    """`--version` prints name and version."""
    assert re.fullmatch(r"footpath \d+\.\d+\.\d+\S*\n", run("--version").out)


def test_help_loads_nothing_heavy() -> None:
    """Neither an engine nor a server nor rich is imported to print the help."""
    command = [sys.executable, "-X", "importtime", "-m", "footpath", "--help"]
    loaded = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True).stderr
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded.splitlines()}
    assert names.isdisjoint({"duckdb", "apsw", "uvicorn", "starlette", "rich", "structlog", "zstandard"})


def test_an_unknown_command_is_told(run: Run) -> None:
    """A word that is no command ends with 2."""
    run("improt", code=2)

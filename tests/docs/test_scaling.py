"""docs/SCALING.md: its costs are the sum of its inputs, and its commands and settings are footpath's."""

import re
import shlex
from pathlib import Path

from typer.main import get_command

from bench.cost import table
from footpath.cli.main import app
from footpath.web.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "SCALING.md").read_text(encoding="utf-8")


def test_the_costs_are_what_the_arithmetic_gives() -> None:
    """The table of costs is what `python -m bench.cost` prints."""
    assert table() in PAGE, f"put this table into docs/SCALING.md:\n{table()}"


def test_each_command_has_the_options_that_it_is_given() -> None:
    """Every `footpath` command in a block is one of footpath's, with options that it has."""
    known = get_command(app)
    found = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if not line.startswith("footpath "):
                continue
            words = shlex.split(line, comments=True)[1:]
            command = known
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            options = {name for parameter in command.params for name in parameter.opts}
            given = {word for word in words if word.startswith("--")}
            assert given <= options, line
            found += 1
    assert found >= 5


def test_metrics_and_alerts_that_it_names_exist() -> None:
    """Each metric of footpath's that the page names is one."""
    named = set(re.findall(r"`(footpath_[a-z_]+)`", PAGE))
    assert named
    assert named <= set(METRICS)

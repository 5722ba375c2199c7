"""The base install stays light: what the rooms of its extras need is neither installed nor imported with it."""

import importlib.metadata
import subprocess
import sys

from packaging.requirements import Requirement

HEAVY = {"boto3", "botocore", "pyiceberg", "pyarrow", "pandas"}
LOADED = """
import sys, footpath.cli.main, footpath.cli.serve, footpath.service, footpath.web.app, footpath.keeper.loop
print(*sys.modules)
"""


def needed(name: str, seen: set[str]) -> set[str]:
    """The distributions that one needs on this machine without any extra, itself included, and what those need."""
    if name not in seen:
        seen.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name.lower(), seen)
    return seen


def test_the_base_install_needs_none_of_the_extras_libraries() -> None:
    """No chain of requirements leads from footpath without extras to boto3, pyiceberg or pyarrow."""
    found = needed("footpath", set())
    assert "duckdb" in found
    assert not found & HEAVY


def test_serving_from_a_folder_imports_nothing_of_the_aws_room() -> None:
    """Commands, service and HTTP face load nothing of the room but how to install it: no start waits for it."""
    command = [sys.executable, "-c", LOADED]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "footpath.service" in loaded
    assert {name for name in loaded if name.startswith("footpath.aws.")} <= {"footpath.aws.extra"}
    assert not {name.partition(".")[0] for name in loaded} & HEAVY

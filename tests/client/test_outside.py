"""The wheel, as another project gets it: nothing of this repository is on its path."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS_OF_A_SHOP = """
from pathlib import Path

import footpath.client
from footpath.client import Client


def test_a_purchase_is_tracked(footpath_server):
    assert Path(footpath.client.__file__).is_relative_to({environment!r})
    with Client(footpath_server.url) as client:
        client.track("ABC123XYZ", "XYZ456ABC", "CLICK", {{"locationX": 52}})
    (action,) = footpath_server.actions(userId="ABC123XYZ", at_least=1)
    assert action["properties"] == {{"locationX": 52}}


def test_the_next_test_begins_with_nothing(footpath_server):
    assert footpath_server.actions() == []
"""


def test_another_projects_tests_have_the_fixture(tmp_path: Path) -> None:
    """In a fresh environment with the built wheel and pytest, a project without a conftest has `footpath_server`."""
    uv = [str(Path(sys.executable).with_name("uv"))]
    environment = tmp_path / "environment"
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("FOOTPATH_", "PYTEST_", "COV"))}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(*uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(*uv, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    run(*uv, "pip", "install", "--quiet", "--python", python, wheel, "pytest")
    tests = tmp_path / "shop" / "test_shop.py"
    tests.parent.mkdir()
    tests.write_text(TESTS_OF_A_SHOP.format(environment=str(environment)), encoding="utf-8")
    assert "2 passed" in run(python, "-I", "-m", "pytest", "-q", tests)

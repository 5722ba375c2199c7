"""The README's commands, run as they are written, in a copy of the checkout as a new user has it.

Each ```sh block is run by bash; where a ```json block follows, it is what the command must print. `make serve` stays
up for the others. It installs footpath with pip, so this takes half a minute.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START_SECONDS = 180


def blocks() -> list[tuple[str, str | None]]:
    """Each sh block of the README with the json block that follows it directly, if one does."""
    found = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [
        (text, found[place + 1][1] if place + 1 < len(found) and found[place + 1][0] == "json" else None)
        for place, (language, text) in enumerate(found)
        if language == "sh"
    ]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkout's files, without what git ignores, with `make serve` running in it."""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 8000)) != 0, "port 8000 is in use: the README's commands need it"
    folder = tmp_path_factory.mktemp("readme") / "footpath"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "serve.log").open("wb") as output:
        server = subprocess.Popen(
            ["bash", "-c", blocks()[0][0]], cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not healthy():
            assert server.poll() is None, (folder / "serve.log").read_text()
            assert time.monotonic() < until, (folder / "serve.log").read_text()
            time.sleep(0.2)
        yield folder
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def healthy() -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_first_command_is_make_serve() -> None:
    """A new user's first command is `make serve`."""
    assert blocks()[0] == ("make serve\n", None)


def test_commands_do_what_the_readme_says(fresh: Path) -> None:
    """Every other command of the README ends with success, and prints what the README shows where it shows it."""
    environment = os.environ | {"PATH": f"{fresh / '.venv' / 'bin'}:{os.environ['PATH']}"}
    for command, expected in blocks()[1:]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace("curl ", "curl --silent --fail-with-body ")],
            check=False,
            cwd=fresh,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if expected is not None:
            assert json.loads(done.stdout) == json.loads(expected)
    assert (fresh / "actions.parquet").read_bytes()[:4] == b"PAR1"
    assert (fresh / "actions.csv").read_text().startswith("userId,")
    assert (fresh / "by-session" / "ABC123XYZ" / "XYZ456ABC.ndjson").exists()

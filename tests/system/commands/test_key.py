"""`footpath key`, and the commands that send with a key: what they print, and what they never do."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.commands.conftest import Run, environment
from tests.system.conftest import Server, Start

FORM = r"fp_%s_[A-Za-z0-9]{32}"


@pytest.fixture(scope="module")
def keyed(start: Start, tmp_path_factory: pytest.TempPathFactory, run: Run) -> tuple[Server, str, str]:
    """A server whose folder had a key before it had a server; a key that writes, and one that reads."""
    data = tmp_path_factory.mktemp("key") / "data"
    made = run("key", "create", "--role", "write", "--name", "w", "--data", data)
    assert "every request needs a key" in made.err
    reads = run("key", "create", "--role", "read", "--name", "r", "--data", data, "--expires", "90d")
    return start(data), made.out.strip(), reads.out.strip()


def test_a_key_is_printed_once(keyed: tuple[Server, str, str], run: Run) -> None:
    """`create` prints the key alone, with the next step beside it; `list` has everything else of it."""
    server, writes, reads = keyed
    assert re.fullmatch(FORM % "write", writes)
    assert re.fullmatch(FORM % "read", reads)
    more = ("--origin", "https://Shop.example/", "--rate", 12.5)
    made = run("key", "create", "--role", "write", "--name", "shop", "--data", server.data, *more)
    assert re.fullmatch(FORM % "write" + "\n", made.out)
    assert "?key=KEY" in made.err
    listed = run("key", "list", "--data", server.data)
    rows = {row["name"]: row for row in listed.rows()}
    assert rows.keys() == {"w", "r", "shop"}
    assert rows["shop"]["origins"] == ["https://shop.example"]
    assert (rows["shop"]["rate"], rows["shop"]["state"], rows["shop"]["role"]) == (12.5, "live", "write")
    assert rows["r"]["expires"] > rows["r"]["created"]
    shown = run("key", "list", "--data", server.data, terminal=200).out
    assert "https://shop.example" in shown
    for secret in (writes, reads, made.out.strip()):
        assert secret[-32:] not in made.err + listed.out + shown


REFUSED = [
    (("create", "--role", "write", "--name", "w"), "there is, or was, a key named w"),
    (("create", "--role", "root", "--name", "x"), "one of write, read, admin"),
    (("create", "--role", "write", "--name", "a b"), "is not a name"),
    (("create", "--role", "read", "--name", "x", "--rate", "1"), "a key that reads sends none"),
    (("create", "--role", "write", "--name", "x", "--origin", "*"), "is not an origin"),
    (("create", "--role", "write", "--name", "x", "--expires", "2001-01-01"), "has passed"),
    (("create", "--role", "write", "--name", "x", "--expires", "soon"), "a duration like 90d"),
    (("revoke", "nobody"), "there is no key named nobody"),
]


@pytest.mark.parametrize(("arguments", "told"), REFUSED)
def test_what_is_wrong_is_told(keyed: tuple[Server, str, str], run: Run, arguments: tuple[str, ...], told: str) -> None:
    """A key that cannot be made or revoked is refused with the reason, and nothing is made."""
    server, *_ = keyed
    before = run("key", "list", "--data", server.data).out
    done = run("key", *arguments, "--data", server.data, code=1)
    assert told in done.err
    assert done.out == ""
    assert run("key", "list", "--data", server.data).out == before


def test_commands_send_with_a_key(keyed: tuple[Server, str, str], run: Run, tmp_path: Path) -> None:
    """`demo` and `import` send with the key of FOOTPATH_KEY or --key, and say what is missing without one."""
    server, writes, reads = keyed
    file = tmp_path / "made.ndjson"
    run("demo", "--out", file, "--actions", 50)
    line = [sys.executable, "-m", "footpath", "demo", "--url", server.url, "--actions", "50", "--rate", "0"]
    done = subprocess.run(line, env=environment() | {"FOOTPATH_KEY": writes}, capture_output=True, check=False)
    assert (done.returncode, b"accepted" in done.stdout) == (0, True)
    assert "accepted" in run("import", file, "--url", server.url, "--key", writes).out
    assert "FOOTPATH_KEY or --key" in run("import", file, "--url", server.url, code=1).err
    assert "has the role read" in run("import", file, "--url", server.url, "--key", reads, code=1).err


SPOILT: list[Callable[[str], str]] = [
    lambda key: key + "x",
    lambda key: key + "\n",
    lambda key: f"Bearer {key}",
    lambda key: key + "\u00e9",
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_no_command_says_the_key(keyed: tuple[Server, str, str], run: Run, spoil: Callable[[str], str]) -> None:
    """Whatever is wrong with a key or an address that holds one, the complaint does not hold it."""
    server, writes, _ = keyed
    for url in (server.url, f"http://127.0.0.1:1/?key={writes}", f"127.0.0.1/?key={writes}", f"http://{writes}@x:y"):
        done = run("demo", "--url", url, "--key", spoil(writes), "--actions", 5, "--rate", 0, code=1)
        assert writes[-32:] not in done.out + done.err

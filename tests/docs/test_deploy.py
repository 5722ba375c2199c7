"""What stands in deploy/ can be run: its commands exist, its files parse, and the service is as closed as it says."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from footpath.config import SETTINGS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICES = {"footpath.service", "footpath-sink@.service", "footpath-stateless.service"}
EXPOSURE = 2.0  # what systemd-analyze security says: 0 is closed, 10 open, and its own OK ends at 4


def footpath(*arguments: str) -> str:
    """The help of a command, with these options known to it."""
    command = [sys.executable, "-m", "footpath", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(text: str) -> set[tuple[str, ...]]:
    """Every command of footpath's that a text tells people or a machine to run, with the options that it uses."""
    said = re.findall(
        r"\bfootpath (serve|sink|setup [a-z]+|key [a-z]+|backup|restore|check)\b((?:\\\n|[^\n`\'#&])*)", text
    )
    return {(*names.split(), *re.findall(r"--[a-z-]+", rest)) for names, rest in said}


@pytest.mark.parametrize(
    "file",
    [
        "deploy/Dockerfile",
        "deploy/footpath.service",
        "deploy/footpath-backup.service",
        "deploy/footpath-sink@.service",
        "deploy/footpath-stateless.service",
        "docs/OPERATE.md",
    ],
)
def test_commands_exist(file: str) -> None:
    """Each command of footpath's in a file exists, and knows the options that it is given there."""
    found = commands((ROOT / file).read_text(encoding="utf-8"))
    assert found
    for command in found:
        names = [word for word in command if not word.startswith("--")]
        told = footpath(*names, "--help")
        for option in command[len(names) :]:
            assert re.search(rf"{option}\b", told), command


def test_settings_in_the_files_exist() -> None:
    """Each FOOTPATH_… variable in deploy/ and docs/OPERATE.md is a setting."""
    known = {f"FOOTPATH_{name.upper()}" for name in SETTINGS} | {"FOOTPATH_CONFIG", "FOOTPATH_NAME"}
    for path in [*DEPLOY.iterdir(), ROOT / "docs" / "OPERATE.md"]:
        assert set(re.findall(r"FOOTPATH_[A-Z_]+", path.read_text(encoding="utf-8"))) <= known, path


def test_the_container_serves() -> None:
    """What the Dockerfile runs is `footpath serve` for all addresses, not as root, with a check and a volume."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    told = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if line[:1].isupper()}
    assert told["ENTRYPOINT"] == '["footpath"]'
    assert told["CMD"] == '["serve", "--host", "0.0.0.0"]'
    assert told["USER"] == "footpath"
    assert told["VOLUME"] == "/data"
    assert "FOOTPATH_DATA=/data" in told["ENV"]
    (check,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', "\n".join(lines))
    compile(check, "healthcheck", "exec")
    assert "/readyz" in check


def units(folder: Path) -> list[Path]:
    """The units, with a program that this machine has in the place of the one that is installed."""
    made = []
    for path in sorted(DEPLOY.glob("footpath*.*")):
        text = path.read_text(encoding="utf-8").replace("/opt/footpath/bin/footpath", sys.executable)
        (folder / path.name).write_text(text, encoding="utf-8")
        made.append(folder / path.name)
    return made


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """systemd finds nothing to say about the units, and the services little about what it could do."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NOT TESTED: what systemd says of the units; it is not here")
    made = units(tmp_path)
    done = subprocess.run([analyze, "verify", *made], capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in done.stderr.splitlines() if any(unit.name in line for unit in made)]
    assert (done.returncode, said) == (0, [])
    for service in [unit for unit in made if unit.name in SERVICES]:
        done = subprocess.run(
            [analyze, "security", "--offline=true", "--no-pager", service],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        assert found is not None, done.stdout + done.stderr
        assert float(found[1]) <= EXPOSURE, done.stdout


def test_the_service_is_closed() -> None:
    """The unit keeps its promises where systemd is not there to say so."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "footpath.service", encoding="utf-8")
    service = parser["Service"]
    for name, value in (
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "footpath"),
        ("Restart", "always"),
        ("KillMode", "mixed"),
    ):
        assert service[name] == value
    assert service["MemoryMax"]
    assert int(service["TimeoutStopSec"]) > 30  # the server waits for so long for requests that run


def test_a_server_over_a_stream_needs_its_file_and_no_folder() -> None:
    """The unit does not start without the file that names stream and table, and keeps nothing."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "footpath-stateless.service", encoding="utf-8")
    service = parser["Service"]
    assert service["EnvironmentFile"] == "/etc/default/footpath"
    assert not [name for name in service if name.endswith("Directory")]
    assert service["DynamicUser"] == "yes"
    assert int(service["TimeoutStopSec"]) > 30

"""The alerts as Prometheus reads them, and the container as far as it can be run without one.

Leaves out the image itself: that needs a container engine and its registry.
"""

import fnmatch
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.deploy.conftest import wait_until
from tests.deploy.test_proxies import free_port, program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_prometheus_takes_the_alerts() -> None:
    """promtool finds every rule of deploy/alerts.yml right."""
    checked = [program("promtool"), "check", "rules", str(DEPLOY / "alerts.yml")]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{(DEPLOY / 'alerts.yml').read_text().count('- alert:')} rules found" in done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="NOT TESTED: needs root to be another user")
def test_the_steps_of_the_dockerfile(tmp_path: Path) -> None:
    """What it copies can be installed; what it starts, as another user, wants a key first, serves, and stops."""
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own are for root alone
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if not any(fnmatch.fnmatch(part, pattern) for pattern in ignored for part in (name, name.split("/")[0])):
            target = tmp_path / "src" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]  # as pip, with an interpreter that others may run
    subprocess.run([*uv, "venv", "--python", "/usr/bin/python3", tmp_path / "venv"], check=True)
    subprocess.run([*uv, "pip", "install", "--python", tmp_path / "venv/bin/python", tmp_path / "src"], check=True)
    nobody = pwd.getpwnam("nobody").pw_uid
    data = tmp_path / "volume"
    data.mkdir()
    os.chown(data, nobody, -1)
    told = (DEPLOY / "Dockerfile").read_text()
    (command,) = re.findall(r"^CMD \[(.*)\]", told, re.MULTILINE)
    arguments = [word.strip(' "') for word in command.split(",")]
    port = free_port()
    environment = {
        "FOOTPATH_DATA": str(data),
        "FOOTPATH_LOG": "json",
        "FOOTPATH_PORT": str(port),
        "PATH": "/usr/bin:/bin",
    }
    footpath = [str(tmp_path / "venv/bin/footpath")]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*footpath, *words], env=environment, user=nobody, capture_output=True, text=True, check=False
        )

    refused = run(*arguments)
    assert (refused.returncode, "footpath key create" in refused.stderr) == (1, True), refused.stderr
    assert run("key", "create", "--role", "write", "--name", "shop").stdout.startswith("fp_write_")
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = subprocess.Popen([*footpath, *arguments], env=environment, user=nobody, stderr=out)
    try:
        (check,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', told)
        check = check.replace(":8000", f":{port}")

        def is_healthy() -> bool:
            assert server.poll() is None, log.read_text()
            return subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0

        wait_until("the health check is green", is_healthy, 30)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
    finally:
        (number,) = re.findall(r"^STOPSIGNAL (\w+)", told, re.MULTILINE)
        server.send_signal(signal.Signals[number])
        assert server.wait(40) == 0

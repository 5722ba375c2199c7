"""deploy/nginx.conf and deploy/Caddyfile in front of a real server, with a certificate and ports of their own.

Only what a machine has of its own is put in: addresses, certificate, and where logs go.
"""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.deploy.conftest import Server, Start, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "logs.example.com"
BATCH: dict[str, Any] = {"userId": "u", "sessionId": "s", "actions": [{"time": "2018-10-20T21:37:28Z", "type": "VIEW"}]}
ALL = {"fromTime": "2018-10-01", "toTime": "2018-10-31"}


class Behind(NamedTuple):
    """A server, what came in front of it, and its keys by role."""

    server: Server
    client: httpx.Client
    keys: dict[str, str]
    logs: Path


def program(name: str) -> str:
    """Where a program is."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found is not None, "run `make deploy-tools`"
    return found


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A program that listens on a port, until the block ends."""
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "HOME": str(folder)})
    try:

        def listens() -> bool:
            assert process.poll() is None, said.read_text()
            with socket.socket() as trying:
                return trying.connect_ex(("127.0.0.1", port)) == 0

        wait_until("it listens", listens)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def nginx(folder: Path, port: int, behind: int) -> Iterator[None]:
    """nginx with deploy/nginx.conf."""
    subprocess.run(
        [
            *(
                program("openssl"),
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={NAME}",
            ),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    text = (DEPLOY / "nginx.conf").read_text()
    for ours, theirs in (
        ("127.0.0.1:8000", f"127.0.0.1:{behind}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(folder / "cert.pem")),
        (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(folder / "key.pem")),
        ("/var/log/nginx/error.log", str(folder / "api-error.log")),
    ):
        assert ours in text
        text = text.replace(ours, theirs)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # who may write where the tests do
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f" http {{ access_log {folder}/access.log; {paths}\n{text} }}"
    )
    with running([program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")], port, folder):
        yield


@contextmanager
def caddy(folder: Path, port: int, behind: int) -> Iterator[None]:
    """Caddy with deploy/Caddyfile, and a certificate that it makes by itself."""
    options = "admin off", "skip_install_trust", "grace_period 2s", "auto_https disable_redirects"
    text = (DEPLOY / "Caddyfile").read_text()
    for ours, theirs in (
        ("127.0.0.1:8000", f"127.0.0.1:{behind}"),
        (f"\n{NAME} {{", f"\nhttps://{NAME}:{port} {{\n\ttls internal\n\tbind 127.0.0.1"),
        ("\n{\n", "\n".join(["", "{", *options, f"storage file_system {folder}", ""])),
    ):
        assert ours in text
        text = text.replace(ours, theirs)
    (folder / "Caddyfile").write_text(text)
    with running([program("caddy"), "run", "--config", str(folder / "Caddyfile")], port, folder):
        yield


def ask_through(port: int) -> httpx.Client:
    """A client that asks for the proxy's name, wherever that is."""

    class Named(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.extensions["sni_hostname"] = NAME
            return super().handle_request(request)

    return httpx.Client(
        base_url=f"https://127.0.0.1:{port}", headers={"host": NAME}, transport=Named(verify=False), timeout=30
    )


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def behind(request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A server with keys behind a proxy."""
    folder = tmp_path_factory.mktemp("proxy")
    data = folder / "data"
    keys = {}
    for role in ("write", "read"):
        line = [sys.executable, "-m", "footpath", "key", "create", "--role", role, "--name", role, "--data", str(data)]
        keys[role] = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    server = start(data)
    port = free_port()
    proxy: Callable[[Path, int, int], AbstractContextManager[None]] = request.param
    with proxy(folder, port, server.port), ask_through(port) as client:
        wait_until("it has a certificate", lambda: serves(client))
        yield Behind(server, client, keys, folder)


def serves(client: httpx.Client) -> bool:
    """Whether an answer comes through."""
    try:
        return client.get("/healthz").status_code == 200
    except httpx.ConnectError:
        return False


def as_(behind: Behind, role: str) -> dict[str, str]:
    """The header with a key."""
    return {"authorization": f"Bearer {behind.keys[role]}"}


def test_only_what_others_need_is_outside(behind: Behind) -> None:
    """The API, the tracker and /healthz are reached through the proxy; metrics, documents and pages are not."""
    for path in ("/healthz", "/footpath.js", "/footpath.mjs"):
        assert behind.client.get(path).status_code == 200, path
    assert behind.client.get("/api/retrievelogs?userId=u").status_code == 401
    for path in ("/metrics", "/docs", "/openapi.json", "/readyz", "/ui/", "/", "/footpath.jsx"):
        assert behind.client.get(path, headers=as_(behind, "read")).status_code == 404, path


def test_bodies_go_through(behind: Behind) -> None:
    """A gzipped body, one of 5 MB, and one in chunks are stored; one of 5.5 MB is refused as too large."""
    headers = as_(behind, "write")
    packed = gzip.compress(json.dumps([BATCH] * 100).encode())
    answer = behind.client.post("/api/submitlogs", content=packed, headers=headers | {"content-encoding": "gzip"})
    assert answer.json()["accepted"] == 100
    large = json.dumps([BATCH]).encode() + b" " * 5_000_000
    assert behind.client.post("/api/submitlogs", content=large, headers=headers).json()["accepted"] == 1
    assert behind.client.post("/api/submitlogs", content=iter([large]), headers=headers).json()["accepted"] == 1
    refused = behind.client.post("/api/submitlogs", content=large + b" " * 500_000, headers=headers)
    assert refused.status_code == 413


def test_a_tail_is_not_held_back(behind: Behind) -> None:
    """An event reaches who follows while the answer goes on, within a second or two of its action."""
    came: list[float] = []
    follows = threading.Event()

    def follow() -> None:
        with behind.client.stream("GET", "/api/tail?userId=tailed", headers=as_(behind, "read")) as answer:
            for line in answer.iter_lines():
                if line.startswith("retry"):
                    follows.set()
                if line.startswith("data: "):
                    came.append(time.monotonic())
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    assert follows.wait(10)
    sent = time.monotonic()
    while thread.is_alive() and time.monotonic() < sent + 10:  # from when it is let in, which is soon
        behind.client.post("/api/submitlogs", json=BATCH | {"userId": "tailed"}, headers=as_(behind, "write"))
        thread.join(0.2)
    assert came
    assert came[0] - sent < 3


def test_a_large_answer_comes_whole(behind: Behind) -> None:
    """An answer of some megabytes is the same through the proxy and without it."""
    actions = BATCH["actions"] * 8_000
    for number in range(8):
        body = {"userId": f"large {number}", "sessionId": "s", "actions": actions}
        assert behind.client.post("/api/submitlogs", json=body, headers=as_(behind, "write")).status_code == 200
    through = behind.client.get("/api/retrievelogs", params=ALL, headers=as_(behind, "read"))
    direct = behind.server.client.get("/api/retrievelogs", params=ALL, headers=as_(behind, "read"))
    assert len(through.content) > 3_000_000
    assert through.json() == direct.json()


def test_without_keys_the_proxy_lets_nobody_in(start: Start) -> None:
    """A server without keys that stands behind a proxy refuses what comes by the proxy's name."""
    server = start()
    answer = server.client.post("/api/submitlogs", json=BATCH, headers={"host": NAME})
    assert (answer.status_code, "footpath key create" in answer.json()["message"]) == (403, True)


def test_a_proxy_lets_go_of_connections_first() -> None:
    """Both proxies keep idle connections for less than idle_seconds, so that no submit meets one that is closed."""
    told = Path(__file__).parents[2].joinpath("docs", "SETTINGS.md").read_text(encoding="utf-8")
    found = re.search(r"`FOOTPATH_IDLE_SECONDS` \| `([\d.]+)`", told)
    assert found is not None
    for file, name in (("nginx.conf", "keepalive_timeout"), ("Caddyfile", "keepalive")):
        kept = re.search(rf"\b{name} (\d+)s", (DEPLOY / file).read_text(encoding="utf-8"))
        assert kept is not None, file
        assert int(kept[1]) < float(found[1])


def test_no_key_is_in_its_logs(behind: Behind) -> None:  # the last, since it stops the server
    """Neither the key in an address nor who was asked for is in a log of the proxy, also when nothing is behind it."""
    key = behind.keys["write"]
    for status in (200, 502):
        assert behind.client.post(f"/api/submitlogs?key={key}", json=BATCH).status_code == status
        asked = behind.client.get("/api/retrievelogs?userId=asked-for-whom", headers=as_(behind, "read"))
        assert asked.status_code == status
        if status == 200:
            behind.server.stop()
    for file in behind.logs.iterdir():
        if file.is_file():
            text = file.read_bytes()
            assert key.encode() not in text, file
            assert b"asked-for-whom" not in text, file

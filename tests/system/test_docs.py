"""What the server says of itself: the OpenAPI document, its page and the front page, held to what the server does."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Server

Json = dict[str, Any]
PAGES = ["/", "/docs"]


@pytest.fixture(scope="module")
def document(server: Server) -> Json:
    """The OpenAPI document."""
    answer = server.client.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document: Json = answer.json()
    return document


def examples(document: Json, path: str, method: str, status: str) -> Json:
    """The examples of an answer in JSON, by name."""
    content = document["paths"][path][method]["responses"][status]["content"]
    return {name: example["value"] for name, example in content["application/json"]["examples"].items()}


def test_the_examples_of_the_document_are_true(server: Server, document: Json) -> None:
    """The bodies among the examples get the answers among the examples, and are found as the examples say."""
    bodies = document["paths"]["/api/submitlogs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    answers = examples(document, "/api/submitlogs", "post", "200")
    assert server.submit(bodies["half_bad"]["value"]).json() == answers["some"]
    for name in ("batches", "batch"):
        assert server.submit(bodies[name]["value"]).json() == answers["all"]
    found = examples(document, "/api/retrievelogs", "get", "200")
    assert server.retrieve(userId="ABC123XYZ", limit=1).json()[0]["actions"] == found["found"][0]["actions"][:1]
    assert server.retrieve(userId="nobody").json() == found["nothing"]
    content = document["paths"]["/api/retrievelogs"]["get"]["responses"]["200"]["content"]
    line = json.loads(
        server.retrieve(userId="ABC123XYZ", logType="view", accept="application/x-ndjson").text.splitlines()[0]
    )
    assert line.keys() == content["application/x-ndjson"]["example"].keys()
    heading = server.retrieve(userId="ABC123XYZ", accept="text/csv").text.splitlines()[0]
    assert heading == content["text/csv"]["example"].splitlines()[0]


def test_the_errors_of_the_document_are_true(server: Server, document: Json) -> None:
    """Errors that can be had by asking have the code and the message of their example."""
    post, get = "/api/submitlogs", "/api/retrievelogs"
    client = server.client
    key = {"idempotency-key": "document"}
    client.post(post, content=b"[]", headers=key)
    for answer, path, method in (
        (client.post(post, content=b"user=u"), post, "post"),
        (client.post(post, content=b"[{}]"), post, "post"),
        (client.post(post, content=b"[]", headers={"content-encoding": "br"}), post, "post"),
        (client.post(post, content=b"[] ", headers=key), post, "post"),
        (client.post(post, content=b"[]", headers={"idempotency-key": "k" * 300}), post, "post"),
        (client.post(post, content=bytes(6_000_000)), post, "post"),
        (client.get(get, params={"fromTime": "2018-10-20"}), get, "get"),
        (client.get(get, params={"userId": "u"}, headers={"accept": "image/png"}), get, "get"),
        (client.delete(get), get, "get"),
    ):
        told = answer.json()
        assert examples(document, path, method, str(answer.status_code))[told["code"]] == told


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_nothing_but_itself(server: Server, path: str) -> None:
    """A page is whole: no script, nothing loaded from anywhere, and a policy that allows its own style and no more."""
    answer = server.client.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in answer.text
    assert "javascript:" not in answer.text
    assert not re.findall(r"<(?:img|iframe|object|embed|form|base)\b|@import|url\(|\bon\w+=", answer.text)
    for target in re.findall(r'(?:href|src)="([^"]*)"', answer.text):
        assert target.startswith(("/", "#", "data:image/svg+xml,")), target
    style = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_links_of_a_page_lead_somewhere(server: Server, path: str) -> None:
    """Each link of a page is answered with 200, each fragment is on the page."""
    page = server.client.get(path).text
    targets = set(re.findall(r'href="([/#][^"]*)"', page))
    assert targets
    for target in targets:
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in page, target
        else:
            assert server.client.get(target).status_code == 200, target


def test_the_page_shows_every_route_parameter_code_and_member(server: Server, document: Json) -> None:
    """Whatever the document names, its page names."""
    page = html.unescape(server.client.get("/docs").text)
    for path, item in document["paths"].items():
        for route in item.values():
            assert f"<code>{path}</code>" in page
            names = [parameter["name"] for parameter in route.get("parameters", ())]
            for status, answer in route["responses"].items():
                names += [*answer.get("headers", ()), *answer["content"]] if len(answer["content"]) > 1 else []
                assert f">{status}</span>" in page
            for name in names:
                assert f"<code>{name}</code>" in page, name
    for schema in document["components"]["schemas"].values():
        for name in schema["properties"]:
            assert f"<code>{name}</code>" in page


@pytest.mark.parametrize("path", PAGES)
def test_the_commands_of_a_page_work(server: Server, path: str, tmp_path: Path) -> None:
    """Each command of a page, copied as it is, succeeds on this server."""
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: the commands of the pages need curl")
    commands = re.findall(r"<pre class=copy><code>(.*?)</code></pre>", server.client.get(path).text, re.DOTALL)
    assert len(commands) >= 2
    (tmp_path / "actions.json").write_bytes(b'{"userId": "file", "sessionId": "s", "actions": []}')
    for command in map(html.unescape, commands):
        assert server.url in command
        has_end = "/api/tail" not in command
        asked = command.replace("curl ", "curl -sS -f " if has_end else "curl -sS -f --max-time 2 ")
        ran = subprocess.run(["bash", "-c", f"set -o pipefail; {asked}"],
                             cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
        assert ran.returncode == (0 if has_end else 28), (command, ran.stderr)


HOSTS = [
    '"><script>alert(1)</script>',
    "a b",
    "x'y",
    "evil.example/path",
    "user@evil.example",
    "",
    "x:123456",
    "\u00e9",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", PAGES)
def test_a_hostile_host_does_not_reach_the_page(server: Server, path: str, host: str) -> None:
    """A Host header that is no host is not shown on a page."""
    answer = server.client.get(path, headers={b"host": host.encode()})
    assert answer.status_code in {200, 400}
    assert "http://127.0.0.1:8000/api" in answer.text or answer.status_code == 400


def test_an_honest_host_is_shown(server: Server) -> None:
    """The commands of a page name the host that it was asked under."""
    for host in ("footpath.example", "localhost:9000", "[::1]:8000", "10.0.0.7"):
        assert f"http://{host}/api/submitlogs" in server.client.get("/docs", headers={"host": host}).text


@pytest.mark.parametrize("path", [*PAGES, "/openapi.json", "/healthz", "/readyz"])
def test_head_of_a_page(server: Server, path: str) -> None:
    """HEAD has the headers of GET and no body; POST is 405."""
    head, got = server.client.head(path), server.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    answer = server.client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

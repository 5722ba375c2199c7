"""The tracker as a file: small, cached, open to pages of any origin, and written for browsers of 2018."""

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import Server, Start

PATHS = ["/footpath.js", "/footpath.mjs"]


@pytest.mark.parametrize("path", PATHS)
def test_it_is_small(server: Server, path: str) -> None:
    """Packed, it takes 4 KB at most; unpacked it is the same text."""
    with server.client.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) <= 4096
    plain = server.client.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content


@pytest.mark.parametrize("path", PATHS)
def test_any_page_may_load_it(start: Start, path: str) -> None:
    """It needs no key, says that it is JavaScript, may be read by any origin, and is not fetched again unchanged."""
    server = start()
    answer = server.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == "text/javascript"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "max-age=3600" in answer.headers["cache-control"]
    again = server.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here; `make test-browser` has a browser")
def test_it_can_be_read(server: Server, tmp_path: Path) -> None:
    """Script and module are JavaScript that node can read, and no comment is left in them."""
    for path, name in zip(PATHS, ("script.js", "module.mjs"), strict=True):
        file = tmp_path / name
        file.write_bytes(server.client.get(path).content)
        subprocess.run(["node", "--check", file], check=True)
        assert not [line for line in file.read_text().splitlines() if line.lstrip().startswith("//")]

"""What is missing is one sentence that names it and what mends it, whichever command meets it first; no traceback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale import servers
from tests.scale.brook import Brook, brook, footpath


@pytest.fixture(scope="module")
def one(aws: dict[str, str], s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[Brook]:
    """A stream and a table that are there."""
    with brook(kinesis.endpoint, glue.endpoint, aws["AWS_ENDPOINT_URL_S3"], s3.bucket, shards=1) as made:
        yield made


def told(*words: str) -> str:
    """The one line that a command ends with."""
    done = footpath(*words, code=1)
    (line,) = done.stderr.splitlines()
    assert line.startswith("footpath: ")
    assert "Traceback" not in done.stdout
    return line


def test_a_server(one: Brook, trino: servers.Trino) -> None:
    """A server without its stream, its table, what reads it, or a key does not start."""
    find = f"{trino.address}/lake?table={one.address.table}"
    words = ["serve", "--port", "0", "--log", "json", "--table", str(one.address)]
    stream = str(one.stream)
    nowhere = str(one.stream._replace(stream="nowhere"))
    assert "footpath setup aws --journal" in told(*words, "--journal", nowhere, "--find", find)
    none = f"{trino.address}/lake?table=none"
    assert "footpath setup aws --table" in told(*words, "--journal", stream, "--find", none)
    assert "start it, or name another" in told(*words, "--journal", stream, "--find", "trino://127.0.0.1:1/c/lake")
    assert "footpath key create" in told(*words, "--journal", stream, "--find", find, "--host", "0.0.0.0")
    assert "--journal and --find go together" in told(*words, "--journal", stream)
    athena = f"athena://lake?table={one.address.table}&region=us-east-1"
    unreached = one.address._replace(endpoint="http://127.0.0.1:9")
    assert "cannot be reached" in told("sink", "--once", "--journal", stream, "--table", str(unreached))
    assert "lake.none in catalog glue does not exist: make it" in told(
        *words, "--journal", stream, "--find", athena.replace(one.address.table, "none")
    )


def test_a_read(one: Brook, trino: servers.Trino) -> None:
    """So it is with a read of what is not there."""
    none = f"{trino.address}/lake?table=none"
    for command in (["find", "--user", "u"], ["export", "--user", "u"]):
        assert "footpath setup aws --table" in told(*command, "--find", none)
    assert "lake.none in catalog glue does not exist" in told(
        "forget", "u", "--find", none, "--table", str(one.address._replace(table="none"))
    )


def test_a_push(one: Brook, tmp_path: Path) -> None:
    """A push into a table that is not there, or from a folder that is none, changes nothing."""
    missing = str(one.address._replace(table="none"))
    assert "make it with `footpath setup aws --table" in told("push", "--data", str(tmp_path), "--table", missing)
    assert str(tmp_path) in told("push", "--data", str(tmp_path), "--table", str(one.address))
    assert list(tmp_path.iterdir()) == []


def test_a_setup(one: Brook, glue: servers.Glue) -> None:
    """A set-up whose bucket is not there, or that is not told where files go, says so."""
    table = f"iceberg://glue/lake/other?endpoint={glue.endpoint}"
    assert "aws s3 mb s3://no-such-bucket" in told(
        "setup", "aws", "--table", f"{table}&warehouse=s3://no-such-bucket/x", "--apply"
    )
    assert "--results s3://BUCKET/PREFIX" in told("setup", "aws", "--workgroup", "w")
    assert "is no option" in told("setup", "aws", "--table", f"{table}&nowhere=1")
    assert one.stream.stream


def test_a_region(one: Brook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region each command says how to give one."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    stream = ["--journal", str(one.stream)]
    for words in (
        ["serve", *stream, "--find", "athena://lake"],
        ["sink", *stream, "--table", str(one.address)],
        ["find", "--user", "u", "--find", "athena://lake"],
        ["push", "--table", str(one.address)],
        ["setup", "aws", *stream],
    ):
        assert "no AWS region is known: add ?region=" in told(*words)

"""The suite of the HTTP API over a stream and a table: serve, a Kinesis, a sink, an S3, a Glue and a Trino, all real.

`settle` waits until a read says that it has everything that was submitted before: X-Footpath-Complete-Until.
"""

import contextlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import boto3
import pytest

from tests.scale import servers
from tests.scale.lake import Lake
from tests.scale.process import START_SECONDS
from tests.system import test_api as suite
from tests.system import test_overviews as overviews
from tests.system.conftest import Server, wait_until
from tests.system.test_api import kept, user

__all__ = ["kept", "user"]

COMPLETE_UNTIL = "x-footpath-complete-until"
SETTLE_SECONDS = 120.0  # a sink commits each second here; on a busy machine a commit and a read take some of them


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, aws: Mapping[str, str], s3: servers.S3, trino: servers.Trino
) -> Iterator[suite.Service]:
    """A server without a folder, and a sink that commits each second."""
    folder = tmp_path_factory.mktemp("api")
    lake = Lake(s3.bucket, folder)
    stream = lake.database
    boto3.client("kinesis").create_stream(StreamName=stream, ShardCount=2)
    boto3.client("kinesis").get_waiter("stream_exists").wait(StreamName=stream)
    journal, table = f"kinesis://{stream}", str(lake.address)
    find = f"{trino.address}/{lake.database}"
    sink = ["sink", "--journal", journal, "--table", table, "--interval", "1", "--log", "json"]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "sink.log").open("wb"))
        command = [sys.executable, "-m", "footpath", *sink]
        process = stack.enter_context(subprocess.Popen(command, env={**os.environ, **aws}, stdout=log, stderr=log))
        stack.callback(process.terminate)
        server = Server(folder / "none", aws, ["--journal", journal, "--find", find, "--table", table])
        stack.callback(server.stop)
        server.start(START_SECONDS)
        assert not (folder / "none").exists()

        def settle() -> None:
            now = datetime.now(UTC)

            def complete() -> bool:
                assert process.poll() is None, (folder / "sink.log").read_text(encoding="utf-8")
                told = server.retrieve(userId="nobody").headers[COMPLETE_UNTIL]
                return told != "unknown" and datetime.fromisoformat(told) >= now

            wait_until("the table has what was submitted", complete, SETTLE_SECONDS)

        settle()
        yield suite.Service(server, settle)


def test_a_read_says_until_when_it_has_everything(service: suite.Service) -> None:
    """Each answer of a read, in each format and of a page, says until when it is complete, which is in the past."""
    asked = {"userId": "nobody"}
    for accept in ("application/json", suite.NDJSON, suite.CSV, suite.ARROW, suite.PARQUET):
        for more in ({}, {"limit": 1}):
            answer = service.server.retrieve(accept=accept, **asked, **more)
            assert datetime.fromisoformat(answer.headers[COMPLETE_UNTIL]) <= datetime.now(UTC)


@pytest.mark.parametrize("path", overviews.PATHS)
def test_an_overview_says_until_when_it_has_everything(service: suite.Service, path: str) -> None:
    """Each answer of an overview says until when it is complete, which is in the past."""
    answer = service.server.client.get(path, params=overviews.PATHS[path])
    assert datetime.fromisoformat(answer.headers[COMPLETE_UNTIL]) <= datetime.now(UTC)


for _module in (suite, overviews):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and "start" not in inspect.signature(_test).parameters:
            globals()[_name] = _test

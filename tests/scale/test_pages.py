"""The pages under /ui/ over a stream and a table: what is there is shown, and what is not is explained."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import httpx
import pytest

from tests.scale import servers
from tests.scale.lake import Lake
from tests.scale.process import START_SECONDS
from tests.system.conftest import Server
from tests.system.test_overviews import visit

PAGES = ["/ui/", "/ui/?userId=u", "/ui/users/u", "/ui/heatmap", "/ui/flows", "/ui/status"]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, aws: Mapping[str, str], s3: servers.S3, trino: servers.Trino
) -> Iterator[Server]:
    """A server over a table that has a user's actions; no sink runs."""
    folder: Path = tmp_path_factory.mktemp("pages")
    lake = Lake(s3.bucket, folder)
    lake.keep([visit("u", "s", 5)])
    boto3.client("kinesis").create_stream(StreamName=lake.database, ShardCount=1)
    boto3.client("kinesis").get_waiter("stream_exists").wait(StreamName=lake.database, WaiterConfig={"Delay": 1})
    words = ["--journal", f"kinesis://{lake.database}", "--find", f"{trino.address}/{lake.database}"]
    with contextlib.ExitStack() as stack:
        made = Server(folder / "none", aws, [*words, "--table", str(lake.address)])
        stack.callback(made.stop)
        made.start(START_SECONDS)
        yield made


def page(server: Server, path: str) -> httpx.Response:
    """A page, as a browser asks for it."""
    return server.client.get(path, headers={"accept": "text/html"})


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_shown(server: Server, path: str) -> None:
    """Each page is there, and leads to none that is not."""
    answer = page(server, path)
    assert answer.status_code == 200, answer.text
    assert "/ui/tail" not in answer.text


def test_a_page_shows_what_is_in_the_table(server: Server) -> None:
    """A user's page, the heatmap and the flows show what the user did."""
    span = "fromTime=2026-03-01&toTime=2026-03-01"
    assert "4 actions" in page(server, "/ui/users/u").text
    assert "inventory" in page(server, f"/ui/flows?{span}").text
    assert "2 clicks on home" in page(server, f"/ui/heatmap?page=home&{span}").text


def test_how_far_the_table_is_stands_on_the_page_of_the_server(server: Server) -> None:
    """The status tells how far the table is behind the stream, and that rejects are not kept, and why."""
    text = page(server, "/ui/status").text
    assert "behind the stream" in text
    assert "keeps no rejects" in text


@pytest.mark.parametrize(("path", "said"), [("/ui/tail", "order=desc"), ("/ui/tail/events", "order=desc")])
def test_what_is_not_there_is_explained(server: Server, path: str, said: str) -> None:
    """A page that a table cannot give says what to do instead."""
    answer = page(server, path)
    assert answer.status_code == 404
    assert said in answer.text


@pytest.mark.parametrize(("path", "said"), [("/api/tail", "order=desc"), ("/api/rejects", "the answer to a request")])
def test_so_is_it_by_the_api(server: Server, path: str, said: str) -> None:
    """What is not there over a table is 404 with a sentence that says what to do instead."""
    answer = server.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert said in answer.json()["message"]


def test_a_path_that_is_none_is_still_told_so(server: Server) -> None:
    """A path that no route has leads to the document."""
    assert server.client.get("/api/nothing").json()["message"] == "there is nothing at this path; see /docs"

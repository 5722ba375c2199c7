"""What a request may not ask: parameters, Accept, methods and paths, each with its status and code.

Leaves out what a good query finds (`test_filters`).
"""

import base64
import json
from typing import Any

import pytest

from tests.system.conftest import Server

PATH = "/api/retrievelogs"
TIME = "2018-10-20T21:37:28-06:00"


@pytest.fixture(scope="module", autouse=True)
def stored(server: Server) -> None:
    """Something that a query which is widened by mistake would find."""
    action = {"time": TIME, "type": "CLICK", "properties": {}}
    assert server.submit([{"userId": "u", "sessionId": "s", "actions": [action]}]).status_code == 200


def check(answer: Any, status: int, code: str) -> str:
    """Hold that an answer is an error of the one shape; its message."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    told = json.loads(answer.content)
    assert told.keys() == {"code", "message"}
    assert told["code"] == code
    message: str = told["message"]
    assert message
    return message


BAD = {
    "no filter": ("", "at least one"),
    "no filter but a limit": ("limit=5", "at least one"),
    "no filter but an order": ("order=desc", "at least one"),
    "only fromTime": ("fromTime=2018-10-20", "toTime is missing"),
    "only toTime": ("toTime=2018-10-20", "fromTime is missing"),
    "a user and only fromTime": ("userId=u&fromTime=2018-10-20", "toTime is missing"),
    "a range backwards": ("fromTime=2018-10-21&toTime=2018-10-20", "swap"),
    "a range backwards by a microsecond": (
        "fromTime=2018-10-20T00:00:00.000001Z&toTime=2018-10-20T00:00:00Z",
        "swap",
    ),
    "a range backwards by its offsets": (
        "fromTime=2018-10-20T00:00:00-01:00&toTime=2018-10-20T00:30:00Z",
        "swap",
    ),
    "an unknown type": ("logType=hover", "'hover'"),
    "a known and an unknown type": ("logType=click&logType=hover", "'hover'"),
    "types with a comma": ("logType=click,view", "'click,view'"),
    "a type with a dotless i": ("logType=cl%C4%B1ck", "logType"),
    "an empty type": ("logType=", "logType is empty"),
    "a word for a time": ("fromTime=yesterday&toTime=2018-10-20", "'yesterday'"),
    "a number for a time": ("fromTime=1540092048&toTime=2018-10-20", "'1540092048'"),
    "24:00": ("fromTime=2018-10-20T24:00:00Z&toTime=2018-10-22", "fromTime"),
    "a leap second": ("fromTime=2016-12-31T23:59:60Z&toTime=2018-10-22", "fromTime"),
    "February 30": ("fromTime=2018-02-30&toTime=2018-10-20", "fromTime"),
    "year 0000": ("fromTime=0000-01-01&toTime=2018-10-20", "fromTime"),
    "year 10000": ("fromTime=2018-10-20&toTime=10000-01-01", "toTime"),
    "an empty time": ("fromTime=&toTime=", "empty"),
    "SQL for a time": ("fromTime=2018-10-20'%20OR%201=1--&toTime=2018-10-20", "fromTime"),
    "a NUL in a time": ("fromTime=2018-10-20%00&toTime=2018-10-20", "fromTime"),
    "an empty userId": ("userId=", "userId is empty"),
    "an empty sessionId": ("userId=u&sessionId=", "sessionId is empty"),
    "userId twice": ("userId=u&userId=v", "userId is given 2 times"),
    "sessionId twice": ("sessionId=s&sessionId=s", "sessionId is given 2 times"),
    "limit twice": ("userId=u&limit=1&limit=2", "limit is given 2 times"),
    "a userId of 257 characters": ("userId=" + "u" * 257, "256"),
    "a userId that is not UTF-8": ("userId=%FF", "query string"),
    "a userId that is half a surrogate pair": ("userId=%ED%A0%80", "query string"),
    "an unknown parameter": ("userId=u&colour=red", "'colour'"),
    "a parameter in lower case": ("userid=u", "'userid'"),
    "a misspelt parameter beside a good one": ("userId=u&sesionId=s", "'sesionId'"),
    "an empty name": ("userId=u&=x", "''"),
    "a hostile name": ("userId=u&%3Cscript%3E=1", "'<script>'"),
    "limit 0": ("userId=u&limit=0", "limit"),
    "limit -1": ("userId=u&limit=-1", "limit"),
    "limit 10001": ("userId=u&limit=10001", "10000"),
    "limit 1.5": ("userId=u&limit=1.5", "limit"),
    "limit 1e3": ("userId=u&limit=1e3", "limit"),
    "limit in Arabic digits": ("userId=u&limit=%D9%A1", "limit"),
    "a limit of 5,000 digits": ("userId=u&limit=" + "9" * 5000, "limit"),
    "an empty limit": ("userId=u&limit=", "limit is empty"),
    "an unknown order": ("userId=u&order=up", "asc"),
    "an order in upper case": ("userId=u&order=ASC", "asc"),
    "a cursor that is no cursor": ("userId=u&limit=1&cursor=abc", "cursor"),
    "a cursor that is not ASCII": ("userId=u&limit=1&cursor=%C3%A9", "cursor"),
    "a cursor of another query": ("userId=u&limit=1&cursor=WzAsMCwwLCIwMDAwMDAwMDAwMDAiXQ", "cursor"),
    "101 parameters": ("&".join(["logType=click"] * 101), "query string"),
}


@pytest.mark.parametrize(("query", "part"), BAD.values(), ids=BAD.keys())
def test_a_bad_query_is_refused(server: Server, query: str, part: str) -> None:
    """A query that is not exactly understood is 400 bad_query, and the message names what is wrong."""
    assert part in check(server.client.get(f"{PATH}?{query}"), 400, "bad_query")


def test_a_forged_cursor_is_refused(server: Server) -> None:
    """A cursor with a place that no page ends at is 400, whatever numbers are in it."""
    action = {"time": TIME, "type": "VIEW"}
    for _ in range(2):
        assert server.submit({"userId": "forged", "sessionId": "s", "actions": [action]}).status_code == 200
    link = server.retrieve(userId="forged", limit=1).links["next"]["url"]
    text = link.partition("cursor=")[2]
    numbers = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for place, value in ((0, 10**30), (0, -(10**18)), (1, 10**30), (1, -5), (2, 10**30), (0, None), (0, "0"), (0, 1.5)):
        forged = [*numbers[:place], value, *numbers[place + 1 :]]
        packed = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
        answer = server.retrieve(userId="forged", limit=1, cursor=packed)
        assert answer.status_code in {200, 400}, (forged, answer.text)
        if answer.status_code == 400:
            check(answer, 400, "bad_query")


@pytest.mark.parametrize(
    "accept",
    ["image/png", "text/html", "application/xml, text/html;q=0.9", "application/json;q=0", "json", "*", "a/b;q=1"],
)
def test_an_accept_that_cannot_be_met_is_refused(server: Server, accept: str) -> None:
    """An Accept header with no media type that can be given is 406 not_acceptable and lists those that can."""
    message = check(server.retrieve(userId="u", accept=accept), 406, "not_acceptable")
    assert "application/x-ndjson" in message


ACCEPTED = {
    "application/json": "application/json",
    "*/*": "application/json",
    "application/*": "application/json",
    "text/*": "text/csv; charset=utf-8",
    "text/csv": "text/csv; charset=utf-8",
    "TEXT/CSV": "text/csv; charset=utf-8",
    "application/x-ndjson": "application/x-ndjson",
    "application/vnd.apache.arrow.stream": "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet": "application/vnd.apache.parquet",
    "text/html, application/xhtml+xml, */*;q=0.8": "application/json",
    "application/json;q=0.2, text/csv;q=0.8": "text/csv; charset=utf-8",
    "text/csv;q=0, application/json;q=0.1": "application/json",
    "text/csv , application/json": "text/csv; charset=utf-8",
    "application/json; charset=utf-8": "application/json",
    "*/*;q=0.1, application/x-ndjson;q=0.2": "application/x-ndjson",
}


@pytest.mark.parametrize(("accept", "media"), ACCEPTED.items(), ids=ACCEPTED.keys())
def test_accept_picks_the_format(server: Server, accept: str, media: str) -> None:
    """The known media type with the highest q is given, the first of equals, JSON for any."""
    answer = server.retrieve(userId="u", accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)


def test_a_type_that_is_refused_is_not_given_for_any(server: Server) -> None:
    """JSON with q=0 beside */* is answered in another format."""
    answer = server.retrieve(userId="u", accept="application/json;q=0, */*")
    assert answer.status_code == 200
    assert answer.headers["content-type"] != "application/json"


METHODS = ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]


@pytest.mark.parametrize("method", [*METHODS, "POST"])
def test_methods_that_a_read_has_not(server: Server, method: str) -> None:
    """Another method than GET and HEAD on the read is 405 with Allow."""
    answer = server.client.request(method, f"{PATH}?userId=u")
    check(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("method", [*METHODS, "GET"])
def test_methods_that_a_submit_has_not(server: Server, method: str) -> None:
    """Another method than POST on the submit is 405 with Allow."""
    answer = server.client.request(method, "/api/submitlogs")
    check(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api", "/api/", "/api/submitlogs/", "/API/submitlogs", "/api/retrievelogs/x", "/../etc/passwd",
     "/%2e%2e/etc/passwd", "/docs/..%2f..%2fetc", "/favicon.ico", "/\u00e9", "/%00", "/api/submitlogs%00"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paths_that_are_not_there(server: Server, path: str, method: str) -> None:
    """Any other path is 404 with the one shape of errors."""
    check(server.client.request(method, path), 404, "not_found")


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
@pytest.mark.parametrize("query", ["userId=u", "userId=u&limit=1", "userId=nobody", "userId=", "nonsense=1"])
def test_head_answers_as_get_does_without_a_body(server: Server, query: str, accept: str) -> None:
    """HEAD has the status and the content type of GET, and no body."""
    got = server.client.get(f"{PATH}?{query}", headers={"accept": accept})
    head = server.client.head(f"{PATH}?{query}", headers={"accept": accept})
    assert head.content == b""
    for name in ("content-type", "cache-control", "link"):
        assert head.headers.get(name) == got.headers.get(name)
    assert head.status_code == got.status_code


def test_an_answer_is_not_for_caches(server: Server) -> None:
    """What users did is answered with Cache-Control: no-store."""
    assert server.retrieve(userId="u").headers["cache-control"] == "no-store"
    assert server.retrieve(userId="u", limit=1).headers["cache-control"] == "no-store"


def test_health(server: Server) -> None:
    """A server that is well says so on /healthz and /readyz."""
    assert server.client.get("/healthz").json() == {"status": "alive"}
    assert server.client.get("/readyz").json() == {"status": "ready"}

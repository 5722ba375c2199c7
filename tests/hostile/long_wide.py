"""Users with huge actions are flushed and read in flat memory. `make hostile` runs this: it takes minutes.

Memory is the most that the server process has had resident (VmHWM) in a test, less what it had before.
"""

import contextlib
import json

import pytest

from tests.hostile.conftest import MB, grows_less_than
from tests.system.conftest import Server, Start, wait_until

TIME = "2018-10-20T21:37:28Z"
WIDE = "x" * 60_000


@pytest.fixture(scope="module")
def wide(start: Start) -> Server:
    """A server with 300 MB of the largest actions of one user, partly in parts."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "2"})
    action = {"time": TIME, "type": "CLICK", "properties": {"text": WIDE}}
    body = json.dumps({"userId": "wide", "sessionId": "s", "actions": [action] * 80}).encode()
    for _ in range(62):
        assert server.submit(body).status_code == 200
    wait_until("something is in parts", server.parts)
    return server


USER, ALL = {"userId": "wide"}, {"logType": "click"}
READS = {
    "json": ("application/json", USER),
    "ndjson": ("application/x-ndjson", ALL),
    "csv": ("text/csv", USER),
    "arrow": ("application/vnd.apache.arrow.stream", ALL),
    "parquet": ("application/vnd.apache.parquet", USER),
}


@pytest.mark.parametrize(("accept", "filters"), READS.values(), ids=READS.keys())
def test_a_user_of_huge_actions_is_read_in_flat_memory(wide: Server, accept: str, filters: dict[str, str]) -> None:
    """300 MB of one user's actions are streamed whole, and the server grows by less than 800 MB, in every format."""
    size = 0
    request = wide.client.build_request(
        "GET", "/api/retrievelogs", params=filters, headers={"accept": accept}, timeout=600
    )
    with grows_less_than(wide, 800 * MB), contextlib.closing(wide.client.send(request, stream=True)) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw():
            size += len(piece)
    assert size > (290 * MB if "parquet" not in accept else 1)


def test_a_page_of_huge_actions_ends_early(wide: Server) -> None:
    """A page of 10,000 actions of 60 KB each ends early, with a next page, in flat memory."""
    with grows_less_than(wide, 450 * MB):
        answer = wide.retrieve(userId="wide", limit=10_000)
    assert 50 < len(answer.json()[0]["actions"]) < 400
    assert "link" in answer.headers

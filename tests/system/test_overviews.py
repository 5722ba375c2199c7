"""Sessions, counts, clicks and flows over HTTP: the suite that the embedded and the scale-out fittings pass.

Here they come from hot rows and parts alike; `tests/scale/test_api.py` runs the same tests over a stream and a table,
but for those that take `start`.
"""

from typing import Any

import pytest

from tests.system.conftest import Server, Start, wait_until
from tests.system.test_api import Service

Json = dict[str, Any]
DAY = {"fromTime": "2026-03-01", "toTime": "2026-03-01"}
PATHS = {
    "/api/sessions": {"userId": "u"},
    "/api/counts": {},
    "/api/clicks": {"page": "home", **DAY},
    "/api/flows": DAY,
}


@pytest.fixture(scope="module")
def service(start: Start) -> Service:
    """A server that flushes as often as it can."""
    return Service(start(environment={"FOOTPATH_FLUSH_SECONDS": "0.05"}), lambda: None)


def visit(user: str, session: str, hour: int, page: str = "home") -> Json:
    """A batch: from home to the inventory, with a click before and one after, on a page."""
    click = {"locationX": 640, "locationY": 150, "pageWidth": 1280, "pageHeight": 1500}
    actions = [
        {"type": "CLICK", "properties": {"page": page, **click}},
        {"type": "NAVIGATE", "properties": {"pageFrom": "home", "pageTo": "inventory"}},
        {"type": "VIEW", "properties": {"page": "inventory", "viewedId": "FDJKLHSLD"}},
        {"type": "CLICK", "properties": {"page": page, "locationX": 640, "locationY": 150}},
    ]
    times = [f"2026-03-01T{hour:02}:{14 + place}:30Z" for place in range(4)]
    return {
        "userId": user,
        "sessionId": session,
        "actions": [{"time": time, **action} for time, action in zip(times, actions, strict=True)],
    }


def get(server: Server, path: str, **parameters: str) -> Json:
    """What an overview tells."""
    answer = server.client.get(path, params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    told: Json = answer.json()
    return told


def counted_each_time(service: Service, user: str, times: int) -> None:
    """That after each batch that is kept every overview counts it, once."""
    server = service.server
    for number in range(1, times + 1):
        service.keep(visit(user, f"s{number:02}", number, page=user))
        assert len(get(server, "/api/sessions", userId=user)["sessions"]) == number
        (counted,) = get(server, "/api/counts", userId=user, bucket="day")["counts"]
        assert counted == {"time": "2026-03-01T00:00:00Z", "CLICK": 2 * number, "VIEW": number, "NAVIGATE": number}
        clicks = get(server, "/api/clicks", page=user, columns="4", rows="10", **DAY)
        assert (clicks["clicks"], clicks["unplaced"]) == (2 * number, number)
        assert clicks["cells"] == [{"x": 2, "y": 1, "count": number}]
        flows = get(server, "/api/flows", userId=user, **DAY)
        assert flows == {"flows": [{"from": "home", "to": "inventory", "count": number}], "others": 0}


def test_what_was_kept_is_counted(service: Service) -> None:
    """What can be read is counted by every overview, once, and nothing else of the page."""
    counted_each_time(service, "kept", 2)


def test_what_was_submitted_is_counted_by_the_next_read(start: Start) -> None:
    """After each answer of submitlogs every overview counts what was submitted, once, while flushes go on."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.05"})
    counted_each_time(Service(server, lambda: None), "read your writes", 20)
    wait_until("there is a part", server.parts)


def test_sessions_are_paged(service: Service) -> None:
    """Pages of sessions, the newest first, are led through by Link, and tell where each began and ended."""
    user, server = "paged", service.server
    service.keep(*[visit(user, f"s{hour}", hour) for hour in (3, 1, 2)])
    url, found = f"/api/sessions?userId={user}&limit=2", []
    while url:
        answer = server.client.get(url)
        found.append([session["sessionId"] for session in answer.json()["sessions"]])
        url = answer.links.get("next", {}).get("url", "")
    assert found == [["s3", "s2"], ["s1"]]
    (oldest, *_) = get(server, "/api/sessions", userId=user, order="asc")["sessions"]
    assert oldest == {
        "userId": user,
        "sessionId": "s1",
        "start": "2026-03-01T01:14:30Z",
        "end": "2026-03-01T01:17:30Z",
        "utcOffset": 0,
        "actions": 4,
        "clicks": 2,
        "views": 1,
        "navigations": 1,
        "firstPage": "home",
        "lastPage": "home",
    }


def test_counts_pick_their_bucket(service: Service) -> None:
    """A day is counted in quarters of an hour if nothing else is said, and the bucket is named."""
    service.keep(visit("bucket", "s", 5))
    told = get(service.server, "/api/counts", userId="bucket", **DAY)
    assert told == {
        "bucket": "PT15M",
        "counts": [
            {"time": "2026-03-01T05:00:00Z", "CLICK": 1, "VIEW": 0, "NAVIGATE": 0},
            {"time": "2026-03-01T05:15:00Z", "CLICK": 1, "VIEW": 1, "NAVIGATE": 1},
        ],
    }


def test_forgotten_and_overviewed_no_more(service: Service) -> None:
    """When forgetting has answered, no overview counts anything of the user."""
    user, server = "forgotten", service.server
    service.keep(visit(user, "s", 7))
    before = get(server, "/api/flows", **DAY)["flows"][0]["count"]
    assert server.client.delete(f"/api/users/{user}").status_code == 200
    assert get(server, "/api/sessions", userId=user) == {"sessions": []}
    assert get(server, "/api/counts", userId=user)["counts"] == []
    assert get(server, "/api/flows", **DAY)["flows"][0]["count"] == before - 1


def test_the_keeper_sums_up_ahead(start: Start) -> None:
    """The keeper makes summaries while the server runs; with and without them the answers are the same."""
    server = start(environment={"FOOTPATH_FLUSH_SECONDS": "0.05", "FOOTPATH_PART_ACTIONS": "10"})
    server.submit([visit(f"u{number}", "s", number) for number in range(20)])

    def told() -> list[Json]:
        return [get(server, path, **parameters) for path, parameters in PATHS.items() if path != "/api/sessions"]

    before = told()
    folder = server.data / "summaries"
    wait_until("there are summaries", lambda: folder.exists() and list(folder.glob("*.parquet")))
    assert told() == before
    for file in folder.glob("*.parquet"):
        file.unlink(missing_ok=True)
    assert told() == before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "more", [{"nothing": "1"}, {"fromTime": "yesterday"}, {"toTime": ""}, {"fromTime": "2026-03-01"}]
)
def test_the_rules_of_parameters_are_those_of_retrievelogs(service: Service, path: str, more: dict[str, str]) -> None:
    """An unknown or empty parameter, a time that is none, and half a range are 400 with the one shape of errors."""
    given = {**PATHS[path], **more}
    if "fromTime" in more and more["fromTime"] != "yesterday":
        given.pop("toTime", None)
    answer = service.server.client.get(path, params=given)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_query")


def test_the_examples_of_the_document_are_of_their_schema(service: Service) -> None:
    """The example of each overview in the document has the members that the server gives."""
    server = service.server
    service.keep(visit("u", "s", 9))
    document = server.client.get("/openapi.json").json()
    for path, parameters in PATHS.items():
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert shape(content["example"]) == shape(get(server, path, **parameters))


def shape(value: Any) -> Any:
    """Names and types of a JSON value; of an array those of its first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value)

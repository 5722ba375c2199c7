"""What the HTTP API promises wherever actions are kept: the suite that the embedded and the scale-out fittings pass.

Here it runs over a data folder; `tests/scale/test_api.py` runs the same tests over a stream and a table. Each test has
users of its own, posts, lets it settle, and reads. Leaves out what only one of the fittings does, and what the others
of this room try in depth.
"""

import csv
import io
import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from tests.system.conftest import Server, Start

Json = dict[str, Any]
NDJSON, CSV = "application/x-ndjson", "text/csv"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
TYPES = ["CLICK", "VIEW", "NAVIGATE"]
SESSIONS = ["s1", "s2"]
HOSTILE = [
    "' OR 1=1--",
    "it's",
    'a"b',
    "a\nb",
    "a\\",
    "%",
    "?",
    "$user_id",
    "é",
    "e\u0301",
    "\U0001f463",
    "a\x00b",
    "A",
    "a",
]


@dataclass(frozen=True)
class Service:
    """A server, and what returns when all that it has taken can be read."""

    server: Server
    settle: Callable[[], None]

    def keep(self, *batches: Json, headers: dict[str, str] | None = None) -> Json:
        """POST batches, and let them settle; the answer."""
        answer = self.server.submit(list(batches), headers)
        assert answer.status_code == 200, answer.text
        self.settle()
        told: Json = answer.json()
        return told

    def lines(self, **asked: Any) -> list[Json]:
        """The lines that a read gives."""
        answer = self.server.retrieve(accept=NDJSON, **asked)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.split("\n")[:-1]]


@pytest.fixture(scope="module")
def service(start: Start) -> Service:
    """The embedded server: what it has taken can be read at once."""
    return Service(start(), lambda: None)


def action(number: int, **members: Any) -> Json:
    """An action a second after the one before, of each type in turn."""
    time = f"2018-10-20T21:{number // 60 % 60:02}:{number % 60:02}.{number:05}7-06:00"
    return {"time": time, "type": TYPES[number % 3], "properties": {"n": number}, **members}


def batch(user: str, session: str, *actions: object) -> Json:
    """A batch."""
    return {"userId": user, "sessionId": session, "actions": list(actions)}


def numbers(lines: list[Json]) -> list[int]:
    """Which actions these are."""
    return [line["properties"]["n"] for line in lines]


@pytest.fixture
def user() -> str:
    """A user whom no other test has."""
    return f"user-{uuid.uuid4().hex}"


class Kept:
    """Sixty actions of three users in two sessions each, which the tests of filters share."""

    def __init__(self, service: Service) -> None:
        """Put them there."""
        self.users = [f"{uuid.uuid4().hex}-{place}" for place in range(3)]
        self.all = [(self.users[n % 5 % 3], SESSIONS[n % 2], action(n)) for n in range(60)]
        batches = [
            batch(user, session, *[told for *whose, told in self.all if whose == [user, session]])
            for user, session in itertools.product(self.users, SESSIONS)
        ]
        assert service.keep(*batches)["accepted"] == 60

    def matching(self, keep: Callable[[str, str, Json], bool]) -> list[int]:
        """The actions that match, in time order."""
        return [told["properties"]["n"] for user, session, told in self.all if keep(user, session, told)]


@pytest.fixture(scope="module")
def kept(service: Service) -> Kept:
    """Those actions."""
    return Kept(service)


def test_what_comes_out_is_what_went_in(service: Service, user: str) -> None:
    """A path is given back as it was submitted, each session once, and can be posted again as it came."""
    sent = [
        batch(user, "first", action(3), action(1, id="an id"), action(2, type="navigate")),
        batch(user, "second", action(0, properties={"deep": [{"x": None}, 2**70, -0.5, "\u2028é"]})),
        batch(user, "first", action(4)),
    ]
    service.keep(*sent)
    found = service.server.retrieve(userId=user).json()
    second, first = found
    assert second == sent[1]
    assert (first["userId"], first["sessionId"]) == (user, "first")
    assert numbers(first["actions"]) == [1, 2, 3, 4]
    assert first["actions"][0] == {**action(1), "id": "an id"}
    assert first["actions"][1]["type"] == "NAVIGATE"
    again = f"{user}-again"
    told = service.keep(*[{**path, "userId": again} for path in found])
    assert (told["accepted"], told["rejected"]) == (5, [])
    assert [{**path, "userId": user} for path in service.server.retrieve(userId=again).json()] == found


BAD = [
    (action(0, type="HOVER"), "unknown_type"),
    ({"type": "CLICK", "properties": {}}, "bad_time"),
    (action(0, time="yesterday"), "bad_time"),
    (action(0, time="2018-10-20T21:37:28"), "bad_time"),
    (action(0, properties=[1]), "bad_properties"),
    (action(0, properties={"locationX": "far"}), "bad_property"),
    (action(0, type="VIEW", properties={"viewedId": 5}), "bad_property"),
    ("click", "not_an_action"),
]


def test_a_bad_action_is_skipped_and_named_and_the_rest_is_kept(service: Service, user: str) -> None:
    """Each bad action is named with its place and a code; the good ones around it are there, and nothing else."""
    actions = [one for place, (bad, _) in enumerate(BAD) for one in (bad, action(place + 1))]
    told = service.keep(batch(user, "s", *actions))
    assert told["message"] == "submitted"
    assert (told["accepted"], told["duplicates"]) == (len(BAD), 0)
    expected = [(0, 2 * place, code) for place, (_, code) in enumerate(BAD)]
    assert [(one["batch"], one["action"], one["code"]) for one in told["rejected"]] == expected
    assert all(one["message"] for one in told["rejected"])
    assert numbers(service.lines(userId=user)) == [place + 1 for place in range(len(BAD))]


def test_filters_in_every_combination(service: Service, kept: Kept) -> None:
    """A read gives exactly what a list comprehension gives, for each set of filters."""
    user, session = kept.users[0], SESSIONS[1]
    low, high = action(10)["time"], action(40)["time"]
    given: dict[str, tuple[Json, Callable[[str, str, Json], bool]]] = {
        "user": ({"userId": user}, lambda of, _session, _told: of == user),
        "session": ({"sessionId": session}, lambda _user, of, _told: of == session),
        "types": ({"logType": ["click", "View"]}, lambda _user, _session, told: told["type"] != "NAVIGATE"),
        "times": ({"fromTime": low, "toTime": high}, lambda _user, _session, told: low <= told["time"] <= high),
    }
    users = set(kept.users)
    for size in range(1, 5):
        for names in itertools.combinations(given, size):
            chosen = [given[name] for name in names]
            asked = {name: value for parameters, _ in chosen for name, value in parameters.items()}
            expected = kept.matching(lambda *one: all(keep(*one) for _, keep in chosen))  # noqa: B023 - called at once
            found = [line for line in service.lines(**asked) if line["userId"] in users]
            assert numbers(found) == expected, names
            assert "user" in names or expected


def test_both_ends_of_a_range_are_in_it_to_the_microsecond(service: Service, kept: Kept) -> None:
    """A range from one action's time to another's holds both; a microsecond less at either end leaves one out."""
    user = kept.users[0]
    mine = [told for of, _, told in kept.all if of == user]
    first, last = mine[2], mine[5]
    low, high = datetime.fromisoformat(first["time"]), datetime.fromisoformat(last["time"])
    step = datetime.resolution
    for more, less, expected in [(0, 0, 4), (1, 0, 3), (0, 1, 3), (1, 1, 2)]:
        asked = {"fromTime": (low + more * step).isoformat(), "toTime": (high - less * step).isoformat()}
        assert len(service.lines(userId=user, **asked)) == expected


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_the_whole_in_pieces(service: Service, kept: Kept, order: str) -> None:
    """Walking from page to page gives each action once, in order, and the last page has no next."""
    user = kept.users[1]
    whole = numbers(service.lines(userId=user, order=order))
    assert whole == sorted(whole, reverse=order == "desc")
    client = service.server.client
    answer = client.get(
        "/api/retrievelogs", params={"userId": user, "order": order, "limit": 7}, headers={"accept": NDJSON}
    )
    walked: list[int] = []
    while True:
        assert answer.status_code == 200, answer.text
        page = [json.loads(line) for line in answer.text.split("\n")[:-1]]
        walked += numbers(page)
        if "next" not in answer.links:
            break
        assert len(page) == 7
        answer = client.get(answer.links["next"]["url"], headers={"accept": NDJSON})
    assert walked == whole


def test_formats_hold_the_same_actions(service: Service, kept: Kept) -> None:
    """CSV, Arrow and Parquet hold the cells of the lines, with the columns and types of a part."""
    asked = {"userId": kept.users[2]}
    lines = service.lines(**asked)
    told = [(one["userId"], one["sessionId"], one["type"], one["properties"], one["seq"]) for one in lines]
    cells = list(csv.DictReader(io.StringIO(service.server.retrieve(accept=CSV, **asked).text, newline="")))
    assert [
        (row["userId"], row["sessionId"], row["type"], json.loads(row["properties"]), int(row["seq"])) for row in cells
    ] == told
    assert [row["time"] for row in cells] == [one["time"] for one in lines]
    arrow = ipc.open_stream(service.server.retrieve(accept=ARROW, **asked).content).read_all()
    file = parquet.read_table(pa.BufferReader(service.server.retrieve(accept=PARQUET, **asked).content))
    for table in (arrow, file):
        assert [
            (row["user_id"], row["session_id"], row["type"], json.loads(row["properties"]), row["seq"])
            for row in table.to_pylist()
        ] == told
        assert [(field.name, str(field.type)) for field in table.schema] == [
            ("user_id", "string"),
            ("session_id", "string"),
            ("time", "timestamp[us]"),
            ("utc_offset", "int16"),
            ("type", "string"),
            ("properties", "string"),
            ("id", "string"),
            ("seq", "int64"),
            ("received_at", "timestamp[us]"),
        ]


def test_nothing_found_is_an_empty_answer(service: Service) -> None:
    """A user of whom nothing is known has an empty array, no lines, and a CSV of its header."""
    nobody = {"userId": uuid.uuid4().hex}
    assert service.server.retrieve(**nobody).text == "[]"
    assert service.server.retrieve(accept=NDJSON, **nobody).text == ""
    assert service.server.retrieve(accept=CSV, **nobody).text.count("\n") == 1
    assert ipc.open_stream(service.server.retrieve(accept=ARROW, **nobody).content).read_all().num_rows == 0


def test_an_id_is_only_text(service: Service, user: str) -> None:
    """Whatever stands in a user's or session's id finds its own actions, and no others."""
    ids = [f"{text}{user}" for text in HOSTILE]
    service.keep(*[batch(text, text, action(place)) for place, text in enumerate(ids)])
    for place, text in enumerate(ids):
        assert numbers(service.lines(userId=text)) == [place]
        assert numbers(service.lines(sessionId=text)) == [place]


def test_a_request_that_comes_again_is_read_once(service: Service, user: str) -> None:
    """The same Idempotency-Key and body twice, and an action's id twice, are one action each."""
    headers = {"idempotency-key": uuid.uuid4().hex}
    body = batch(user, "s", action(1), action(2))
    assert service.server.submit([body], headers).status_code == 200
    assert service.server.submit([body], headers).status_code == 200
    assert service.server.submit([batch(user, "s", action(3, id="one"))]).status_code == 200
    service.keep(batch(user, "s", action(3, id="one"), action(4)))
    assert numbers(service.lines(userId=user)) == [1, 2, 3, 4]


def test_many_actions_of_one_request(service: Service, user: str) -> None:
    """Five thousand actions in one request, of which many share a time, are all there, in the order they came."""
    actions = [{**action(1), "properties": {"n": place}} for place in range(5_000)]
    assert service.keep(batch(user, "s", *actions))["accepted"] == 5_000
    assert numbers(service.lines(userId=user)) == list(range(5_000))


def test_who_is_forgotten_is_found_no_more(service: Service, user: str) -> None:
    """After the receipt nothing of a user is found, nor what comes for them later; all of another is there."""
    other = f"{user}-other"
    service.keep(batch(user, "s", action(1), action(2)), batch(other, "s", action(3)))
    answer = service.server.client.delete(f"/api/users/{user}", timeout=120)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["userId"], answer.json()["actions"]) == (user, 2)
    assert answer.json()["until"] > action(0)["time"]
    assert service.lines(userId=user) == []
    service.keep(batch(user, "s", action(4)), batch(other, "s", action(5)))
    assert service.lines(userId=user) == []
    assert numbers(service.lines(userId=other)) == [3, 5]


QUERIES: list[tuple[str, int, str]] = [
    ("", 400, "bad_query"),
    ("userid=u", 400, "bad_query"),
    ("userId=", 400, "bad_query"),
    ("userId=u&userId=v", 400, "bad_query"),
    ("logType=hover", 400, "bad_query"),
    ("fromTime=2018-10-20", 400, "bad_query"),
    ("fromTime=2018-10-21&toTime=2018-10-20", 400, "bad_query"),
    ("fromTime=x&toTime=2018-10-20", 400, "bad_query"),
    ("userId=u&limit=0", 400, "bad_query"),
    ("userId=u&order=up", 400, "bad_query"),
    ("userId=u&limit=2&cursor=none", 400, "bad_query"),
]


@pytest.mark.parametrize(("query", "status", "code"), QUERIES)
def test_a_read_that_asks_wrongly_is_told_so(service: Service, query: str, status: int, code: str) -> None:
    """A parameter that is missing, unknown or wrong is refused with its status, a code and a sentence."""
    answer = service.server.client.get(f"/api/retrievelogs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]


BODIES: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{", {}, 400, "not_json"),
    (b"5", {}, 400, "not_batches"),
    (b'[{"userId": "u"}]', {}, 400, "not_batches"),
    (b"[]", {"content-encoding": "br"}, 415, "unknown_encoding"),
    (b"[]", {"idempotency-key": "k" * 256}, 400, "bad_key"),
    (b" " * (5 << 20) + b"[]", {}, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "headers", "status", "code"), BODIES)
def test_a_submit_that_cannot_be_taken_is_told_so(
    service: Service, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """A request that is refused whole is refused with its status and a code, wherever actions are kept."""
    answer = service.server.submit(body, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_other_paths_and_methods(service: Service) -> None:
    """What is not there, or not for a method, or cannot be given in a format, says so in the one shape."""
    client = service.server.client
    answers: list[tuple[httpx.Response, int]] = [
        (client.get("/api/submitlogs"), 405),
        (client.post("/api/retrievelogs"), 405),
        (client.get("/api/nothing"), 404),
        (service.server.retrieve(accept="image/png", userId="u"), 406),
        (client.get("/healthz"), 200),
        (client.get("/readyz"), 200),
    ]
    for answer, status in answers:
        assert answer.status_code == status, answer.text
        assert status == 200 or set(answer.json()) == {"code", "message"}

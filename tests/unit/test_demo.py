"""The demo's traffic keeps what its module docstring promises; the rules for bad actions are written out again here."""

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from footpath.demo import SITE, Arrival, traffic

START = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
NUMBER = (int, float)
KNOWN: dict[str, Any] = {
    "locationX": NUMBER,
    "locationY": NUMBER,
    "viewedId": str,
    "pageFrom": str,
    "pageTo": str,
}

arguments = st.fixed_dictionaries(
    {
        "seed": st.integers(),
        "actions": st.integers(0, 400),
        "start": st.datetimes(
            min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
            max_value=datetime(2100, 1, 1),  # noqa: DTZ001
            timezones=st.sampled_from([UTC, timezone(timedelta(hours=-6)), timezone(timedelta(hours=5, minutes=45))]),
        ),
        "rate": st.sampled_from([0.0003, 0.01, 1.0, 100.0, 1e6]),
        "users": st.sampled_from([1, 2, 30, 5000]),
        "late": st.sampled_from([0.0, 0.02, 0.5, 1.0]),
        "bad": st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    }
)
SLOW_AND_BAD = {"seed": 1, "actions": 2000, "start": START, "rate": 0.01, "users": 1, "late": 0.02, "bad": 0.5}
every_traffic = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def day() -> list[Arrival]:
    """A long stretch of traffic with the default crowd."""
    return list(traffic(seed=7, actions=40_000, start=START, rate=100))


def faults(action: dict[str, Any]) -> list[str]:
    """What DESIGN section 5 refuses in an action, one code for each reason."""
    found = []
    if str(action.get("type")).upper() not in {"CLICK", "VIEW", "NAVIGATE"}:
        found.append("type")
    if not RFC_3339.fullmatch(action.get("time", "")):
        found.append("time" if "time" in action else "no time")
    properties = action.get("properties")
    if not isinstance(properties, dict):
        found.append("properties")
    elif any(not isinstance(value, KNOWN.get(name, object)) for name, value in properties.items()):
        found.append("property")
    return found


def actions_of(arrivals: list[Arrival]) -> list[dict[str, Any]]:
    """All actions, in the order they arrived."""
    return [action for arrival in arrivals for action in arrival.batch["actions"]]


def sessions(arrivals: list[Arrival]) -> dict[tuple[str, str], list[datetime]]:
    """The times of the good actions of each session, in the order they arrived."""
    found: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for arrival in arrivals:
        times = [datetime.fromisoformat(a["time"]) for a in arrival.batch["actions"] if not faults(a)]
        found[arrival.batch["userId"], arrival.batch["sessionId"]] += times
    return found


@every_traffic
@given(arguments)
def test_same_arguments_same_traffic(given_arguments: dict[str, Any]) -> None:
    """Two calls with the same arguments yield equal arrivals, also when they are read in turns."""
    for one, other in zip(traffic(**given_arguments), traffic(**given_arguments), strict=True):
        assert one == other


def test_another_seed_is_other_traffic() -> None:
    """Two seeds differ within the first ten arrivals."""
    one, other = (list(islice(traffic(seed=seed, actions=1000, start=START, rate=100), 10)) for seed in (1, 2))
    assert one != other


@every_traffic
@given(arguments)
def test_total_is_exact(given_arguments: dict[str, Any]) -> None:
    """The batches hold exactly `actions` actions in all, 1 to 20 in each."""
    sizes = [len(arrival.batch["actions"]) for arrival in traffic(**given_arguments)]
    assert sum(sizes) == given_arguments["actions"]
    assert all(1 <= size <= 20 for size in sizes)


@every_traffic
@given(arguments)
def test_bad_is_counted(given_arguments: dict[str, Any]) -> None:
    """In every arrival, `bad` is the number of actions the rules refuse, and each of these has exactly one fault."""
    for arrival in traffic(**given_arguments):
        reasons = [faults(action) for action in arrival.batch["actions"]]
        assert arrival.bad == sum(bool(found) for found in reasons)
        assert all(len(found) <= 1 for found in reasons)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_bad_share_at_its_ends(share: float) -> None:
    """With bad=0 no action is bad, with bad=1 every one is."""
    arrivals = traffic(seed=3, actions=500, start=START, rate=100, bad=share)
    assert sum(arrival.bad for arrival in arrivals) == 500 * share


def test_every_fault_occurs(day: list[Arrival]) -> None:
    """About one action in a hundred is bad, and all five faults are among them."""
    found = Counter(reason for action in actions_of(day) for reason in faults(action))
    assert set(found) == {"type", "time", "no time", "properties", "property"}
    assert 0.008 < found.total() / 40_000 < 0.012


@every_traffic
@given(arguments)
def test_arrivals_in_order(given_arguments: dict[str, Any]) -> None:
    """The first request arrives at `start`, and none before the one ahead of it."""
    at = [arrival.at for arrival in traffic(**given_arguments)]
    assert at[:1] == [given_arguments["start"]][: len(at)]
    assert all(earlier <= later for earlier, later in pairwise(at))


@every_traffic
@given(arguments)
@example(SLOW_AND_BAD)  # here a pause often spans bad actions
def test_pauses_in_sessions(given_arguments: dict[str, Any]) -> None:
    """Sorted by time, no two neighbouring good actions of a session are more than 30 minutes apart."""
    for times in sessions(list(traffic(**given_arguments))).values():
        assert all(later - earlier <= timedelta(minutes=30) for earlier, later in pairwise(sorted(times)))


@every_traffic
@given(arguments)
def test_nothing_from_the_future(given_arguments: dict[str, Any]) -> None:
    """Good times have an offset, are not after their arrival, and at most 31 minutes before `start`."""
    for arrival in traffic(**given_arguments):
        for action in arrival.batch["actions"]:
            if not faults(action):
                time = datetime.fromisoformat(action["time"])
                assert given_arguments["start"] - timedelta(minutes=31) <= time <= arrival.at


@every_traffic
@given(arguments)
def test_a_batch_can_travel(given_arguments: dict[str, Any]) -> None:
    """Every batch is userId, sessionId and actions, and comes back equal from JSON."""
    for arrival in traffic(**given_arguments):
        assert list(arrival.batch) == ["userId", "sessionId", "actions"]
        assert json.loads(json.dumps(arrival.batch)) == arrival.batch


@pytest.mark.parametrize("rate", [0.5, 100, 50_000])
def test_rate(rate: float) -> None:
    """20,000 actions take 20,000 / rate seconds, give or take a tenth, and so does each half of them."""
    arrivals = list(traffic(seed=11, actions=20_000, start=START, rate=rate))
    offered, half = 0, START
    for arrival in arrivals:
        offered += len(arrival.batch["actions"])
        if offered <= 10_000:
            half = arrival.at
    first, second = (half - START).total_seconds(), (arrivals[-1].at - half).total_seconds()
    assert [first * rate, second * rate] == pytest.approx([10_000, 10_000], rel=0.1)


def test_users_are_heavy_tailed(day: list[Arrival]) -> None:
    """A tenth of the users do more than half of the actions, and yet more than half of the users come at all."""
    users: Counter[str] = Counter()
    for arrival in day:
        users[arrival.batch["userId"]] += len(arrival.batch["actions"])
    assert sum(number for _, number in users.most_common(100)) > 20_000
    assert 500 < len(users) <= 1000
    assert "user-00001" in dict(users.most_common(3))


def test_types_and_spellings(day: list[Arrival]) -> None:
    """All three types come, each in upper, lower and title case, and none is under a fifth of the good actions."""
    spelt = Counter(action["type"] for action in actions_of(day) if not faults(action))
    names = ("CLICK", "VIEW", "NAVIGATE")
    assert set(spelt) == {spelling for name in names for spelling in (name, name.lower(), name.title())}
    assert all(spelt[name] + spelt[name.lower()] + spelt[name.title()] > spelt.total() / 5 for name in names)


def test_each_type_has_its_properties(day: list[Arrival]) -> None:
    """A good action's properties are those of its type, no more and no fewer."""
    shape = {
        "CLICK": {
            "locationX",
            "locationY",
            "page",
            "element",
            *(f"{what}{side}" for what in ("viewport", "page") for side in ("Width", "Height")),
        },
        "VIEW": {"viewedId", "page"},
        "NAVIGATE": {"pageFrom", "pageTo"},
    }
    assert all(set(a["properties"]) == shape[a["type"].upper()] for a in actions_of(day) if not faults(a))


def test_clicks_lie_on_their_page(day: list[Arrival]) -> None:
    """Each good click lies on its page, no smaller than the screen, and many are around their element."""
    clicks = [a["properties"] for a in actions_of(day) if not faults(a) and a["type"].upper() == "CLICK"]
    for click in clicks:
        assert 0 <= click["locationX"] <= click["pageWidth"] == click["viewportWidth"]
        assert 0 <= click["locationY"] <= click["pageHeight"] >= click["viewportHeight"]
    banner = [click["locationY"] / click["pageHeight"] for click in clicks if click["element"] == "banner"]
    assert max(Counter(int(place * 10) for place in banner).values()) > len(banner) / 3


def test_walks_follow_the_site() -> None:
    """When nothing is late or bad, every page a session leaves, clicks or views on is the page it last went to."""
    where: dict[str, str] = {}
    steps = 0
    for arrival in traffic(seed=5, actions=5000, start=START, rate=100, late=0, bad=0):
        session = arrival.batch["sessionId"]
        for action in arrival.batch["actions"]:
            properties = action["properties"]
            page = properties.get("pageFrom") or properties["page"]
            assert where.get(session, page) == page
            steps += session in where
            where[session] = properties.get("pageTo", page)
    assert steps > 3000


def test_flows_follow_links(day: list[Arrival]) -> None:
    """Each navigation takes a link of the site, and every link is taken."""
    flows = [a["properties"] for a in actions_of(day) if not faults(a) and a["type"].upper() == "NAVIGATE"]
    taken = {tuple(p[end].partition("/")[0] for end in ("pageFrom", "pageTo")) for p in flows}
    assert taken == {(page, to) for page, (links, _) in SITE.items() for to in links}


def test_users_keep_their_clock(day: list[Arrival]) -> None:
    """Good times of a user have one offset; all users' have ten or more, some with fractions and some without."""
    offsets: dict[str, set[str]] = defaultdict(set)
    for arrival in day:
        offsets[arrival.batch["userId"]] |= {a["time"][19:] for a in arrival.batch["actions"] if not faults(a)}
    found = {user: {re.sub(r"\.\d+", "", ending) for ending in endings} for user, endings in offsets.items()}
    assert all(len(own) <= 1 for own in found.values())
    assert len(set().union(*found.values())) >= 10
    assert {"." in ending for endings in offsets.values() for ending in endings} == {True, False}


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("actions", [2000, 40_000])
def test_late_share(share: float, actions: int) -> None:
    """The share of actions that arrive after a newer one of their session is within 30 % of `late`, at any length."""
    arrivals = list(traffic(seed=13, actions=actions, start=START, rate=100, late=share, bad=0))
    late = 0
    for times in sessions(arrivals).values():
        newest = times[0]
        for time in times:
            late += time < newest
            newest = max(newest, time)
    assert late / actions == pytest.approx(share, rel=0.3)


def test_sessions_are_visits(day: list[Arrival]) -> None:
    """Sessions have 5 to 30 actions on average, and their median pause is 2 to 8 seconds."""
    found = [sorted(times) for times in sessions(day).values()]
    pauses = sorted((later - earlier).total_seconds() for times in found for earlier, later in pairwise(times))
    assert 5 < sum(map(len, found)) / len(found) < 30
    assert 2 <= pauses[len(pauses) // 2] <= 8


def test_idle_users_come_back_in_a_new_session() -> None:
    """When a single user acts once an hour or so, most batches open a session of their own."""
    arrivals = list(traffic(seed=1, actions=500, start=START, rate=0.001, users=1, late=0))
    assert {arrival.batch["userId"] for arrival in arrivals} == {"user-00001"}
    assert len(sessions(arrivals)) > len(arrivals) / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": START.replace(tzinfo=None)},
        {"rate": 0},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"actions": -1},
        {"users": 0},
        {"late": 1.1},
        {"bad": -0.1},
    ],
    ids=lambda wrong: str(*wrong.items()),
)
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    """An argument out of its range is refused at the call, before anything is iterated, by a message that names it."""
    given_arguments: dict[str, Any] = {"seed": 1, "actions": 1, "start": START, "rate": 1.0}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        traffic(**(given_arguments | wrong))

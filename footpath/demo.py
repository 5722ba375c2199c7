"""Plausible traffic for `footpath demo`: people walk a small shop's site, and their devices send what they did.

Promises. The same arguments give the same arrivals; no clock, disk or environment is read. Exactly `actions` actions
are offered. Arrivals are in order of `at`, the first at `start`, and `rate` actions a second on average. No action is
dated after its arrival. A user keeps one UTC offset, one precision of time and one spelling of types. In a session no
two neighbouring good actions are more than 30 minutes apart, late ones included. Each bad action has exactly one fault.

Leaves out: clocks that run wrong, days and nights, resent requests, bodies that are not JSON. A busy user has several
sessions open at once (devices, tabs). When `rate` asks for more than `users` people can do, they act faster.
"""

import heapq
import math
import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate, count
from statistics import NormalDist
from typing import Any, NamedTuple

SECOND = 1_000_000  # of microseconds: instants are whole microseconds since 1970, so that cutting them is exact
IDLE = 30 * 60 * SECOND  # a longer pause ends a session: the usual rule of web analytics
SIZES = (1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 20)  # actions a batch: most are small, some come from a full buffer
MEAN_SIZE = sum(SIZES) / len(SIZES)
# Seconds between two actions of a session: quantiles of a lognormal law with median 5, cheaper to pick than to draw.
THINK = tuple(5 * math.exp(0.9 * NormalDist().inv_cdf((i + 0.5) / 1000)) for i in range(1000))
THINK_MEAN = sum(THINK) / len(THINK)
LEAVE = 0.35  # chance that a session ends with a batch: about 16 actions a session
DEVICES = 3  # sessions open at once for each user, at most and on average; bounds the memory at any rate
LATE_SECONDS = 90.0  # mean wait of a late action for its second chance
DELAY_SECONDS = 0.5  # from the last action of a batch to its arrival, at most
ITEMS = 400

# For each page: where people go from it (named twice is twice as likely), and what they click on.
SITE = {
    "home": (("search", "search", "inventory", "inventory", "communities", "account", "help"), ("banner", "menu")),
    "communities": (("inventory", "inventory", "home", "item", "account"), ("join", "post", "like")),
    "inventory": (("item", "item", "item", "item", "search", "home"), ("filter", "sort", "next-page")),
    "search": (("item", "item", "item", "inventory", "home", "help"), ("search-box", "filter", "next-page")),
    "item": (("cart", "cart", "inventory", "search", "item", "communities"), ("add-to-cart", "photo", "reviews")),
    "cart": (("checkout", "checkout", "item", "inventory", "home"), ("quantity", "remove", "voucher")),
    "checkout": (("account", "home", "home", "cart", "help"), ("address", "pay", "terms")),
    "account": (("home", "inventory", "help", "communities"), ("orders", "edit", "sign-out")),
    "help": (("home", "search", "account"), ("question", "contact", "chat")),
}
# Where on its page each of those stands, from left and top; people click around it.
SPOTS = {
    element: (0.12 + 0.31 * place + 0.02 * turn, 0.1 + 0.19 * place + 0.04 * turn)
    for turn, (_, elements) in enumerate(SITE.values())
    for place, element in enumerate(elements)
}
AROUND = 0.08  # so far at most, most of them nearer
BESIDE = 0.25  # share of clicks that are elsewhere: in the left quarter, where the menus are
SCREENS = ((1280, 800), (1536, 864), (390, 844), (1920, 1080))  # a user has one
HEIGHTS = {
    kind: 900 + 350 * (turn * 5 % 9) for turn, kind in enumerate(SITE)
}  # of a page 1280 wide; narrow ones are longer
ENTRANCES = ("home", "home", "home", "search", "item", "communities")
ZONES = tuple(timezone(timedelta(minutes=m)) for m in (-360, 0, 60, 330, -300, 540, 120, -480, 345, -210, 660))
EPOCHS = tuple(datetime(1970, 1, 1, tzinfo=UTC).astimezone(zone) for zone in ZONES)
CLOCKS = (("seconds", SECOND), ("milliseconds", 1_000), ("microseconds", 1))  # isoformat's name, microseconds
TYPES = ("CLICK", "VIEW", "NAVIGATE")
SPELLINGS = {4: {t: t.lower() for t in TYPES}, 7: {t: t.title() for t in TYPES}}  # by a user's last digit
UPPER = {t: t for t in TYPES}


class Arrival(NamedTuple):
    """One request as a server receives it: when (in `start`'s time zone), the batch in wire form, its bad actions."""

    at: datetime
    batch: dict[str, Any]
    bad: int


_Made = list[tuple[dict[str, Any], bool]]  # actions, and whether each is bad


@dataclass(slots=True)
class _Visit:
    """One session under way; `since` is the instant that none of its further actions may precede."""

    rank: int  # of its user, 1 is the busiest
    session: str
    page: str
    since: int


def traffic(
    *, seed: int, actions: int, start: datetime, rate: float, users: int = 1000, late: float = 0.02, bad: float = 0.01
) -> Iterator[Arrival]:
    """Yield the requests of a crowd in the order they arrive, 1 to 20 actions each.

    Args:
        seed: picks the traffic; the same seed and arguments give the same arrivals.
        actions: how many actions are offered in all, bad ones included.
        start: when the first request arrives; must have an offset. Actions in it may be up to 30 minutes older.
        rate: actions a second of simulated time, on average.
        users: how many people there are: user-00001 is the busiest, the others follow a Zipf-like law.
        late: share (0 to 1) of actions that arrive after newer ones of their session; above about 0.8 no more are.
        bad: share (0 to 1) of actions that a server must refuse.

    Raises:
        ValueError: an argument is out of its range; raised at the call, before the first arrival.
        OverflowError: while iterating, when simulated time leaves the years 1 to 9999.
    """
    if start.utcoffset() is None:
        raise ValueError("start has no UTC offset: give an aware datetime")
    if not 0 < rate < math.inf:
        raise ValueError(f"rate is {rate}: give a number of actions a second above 0")
    if actions < 0 or users < 1:
        raise ValueError(f"actions is {actions}, users is {users}: give at least 0 actions and 1 user")
    if not (0 <= late <= 1 and 0 <= bad <= 1):
        raise ValueError(f"late is {late}, bad is {bad}: give shares from 0 to 1")
    rng = random.Random(seed)  # noqa: S311 - traffic has to repeat, nobody has to be unable to guess it
    return _arrivals(rng, actions, start, rate, users, late, bad)


def _arrivals(
    rng: random.Random, actions: int, start: datetime, rate: float, users: int, late: float, bad: float
) -> Iterator[Arrival]:
    begin = (start - EPOCHS[0]) // timedelta(microseconds=1)
    law = list(accumulate(1 / (rank + 2) for rank in range(1, users + 1)))
    hold = late / (1 - 1 / MEAN_SIZE)  # the last action of a batch is never held back, so the others more often
    order = count()  # breaks ties, so that the heaps never compare what they carry
    crowd: list[tuple[float, int, _Visit, list[float]]] = []  # by when they would like to send; the pauses before each
    held: list[tuple[float, int, _Visit, str, _Made]] = []  # by when they are sent again

    def pauses() -> list[float]:
        return rng.choices(THINK, k=rng.choice(SIZES))

    def arrive(since: int) -> _Visit:
        rank = 1 + bisect(law, rng.random() * law[-1], hi=users - 1)
        return _Visit(rank, f"{rng.getrandbits(64):016x}", _page(rng, rng.choice(ENTRANCES)), since)

    for _ in range(math.ceil(min(rate * THINK_MEAN, DEVICES * users, actions))):  # who make `rate` at a human pace
        gaps = pauses()
        crowd.append((rng.random() * sum(gaps), next(order), arrive(begin - IDLE), gaps))
    heapq.heapify(crowd)

    clock = 0.0  # seconds since start
    while actions or held:  # `actions` counts those not yet made; a held one is made but not yet sent
        if held and (not actions or held[0][0] <= clock):
            _, _, visit, session, sent = heapq.heappop(held)
        else:
            _, _, visit, gaps = heapq.heappop(crowd)
            made = _batch(rng, visit, gaps[:actions], begin + int((clock - rng.random() * DELAY_SECONDS) * SECOND), bad)
            actions -= len(made)
            session, sent, kept = visit.session, _Made(), _Made()
            for one in made[:-1]:
                (kept if rng.random() < hold else sent).append(one)
            sent.append(made[-1])
            if kept:
                due = clock + rng.expovariate(1 / LATE_SECONDS)
                heapq.heappush(held, (due, next(order), visit, session, kept))
            following = arrive(begin + int(clock * SECOND)) if rng.random() < LEAVE else visit
            gaps = pauses()
            heapq.heappush(crowd, (clock + sum(gaps), next(order), following, gaps))
        batch = {"userId": f"user-{visit.rank:05d}", "sessionId": session, "actions": [action for action, _ in sent]}
        yield Arrival(start + timedelta(seconds=clock), batch, sum(spoilt for _, spoilt in sent))
        clock += rng.expovariate(rate / len(sent))


def _batch(rng: random.Random, visit: _Visit, gaps: list[float], end: int, bad: float) -> _Made:
    """The next actions of a visit, the last of them at `end`, each with whether it is bad; moves the visit on."""
    end = max(end, visit.since)
    if end - visit.since > IDLE:  # the same user comes back, in a new session
        visit.session, visit.since = f"{rng.getrandbits(64):016x}", max(visit.since + IDLE, end - IDLE)
    spelling = SPELLINGS.get(visit.rank % 10, UPPER)
    precision, unit = CLOCKS[visit.rank % len(CLOCKS)]
    epoch = EPOCHS[visit.rank % len(EPOCHS)]
    wanted = sum(gaps) * SECOND
    pace = min(1.0, (end - visit.since) / wanted)  # below 1 they hurry, to fit between their last batch and the end
    at = end - wanted * pace
    made = []
    for gap in gaps:
        at += gap * SECOND * pace
        instant = min(max(int(at), visit.since), end) // unit * unit
        time = (epoch + timedelta(microseconds=instant)).isoformat(timespec=precision)
        kind, properties = _step(rng, visit)
        action = {"time": time.replace("+00:00", "Z"), "type": spelling[kind], "properties": properties}
        spoilt = rng.random() < bad
        if spoilt:
            _spoil(rng, action)
        else:
            visit.since = max(visit.since, instant)
        made.append((action, spoilt))
    return made


def _step(rng: random.Random, visit: _Visit) -> tuple[str, dict[str, Any]]:
    page = visit.page
    kind, _, item = page.partition("/")
    roll = rng.random()
    if roll < 0.35:
        visit.page = _page(rng, rng.choice(SITE[kind][0]))
        return "NAVIGATE", {"pageFrom": page, "pageTo": visit.page}
    if roll < 0.6:
        return "VIEW", {"viewedId": item or _page(rng, "item")[5:], "page": page}
    width, screen = SCREENS[visit.rank % len(SCREENS)]
    height = max(screen, HEIGHTS[kind] * 1280 // width)
    x, y = rng.random(), rng.random()
    element = rng.choice(SITE[kind][1])
    if x > BESIDE:
        left, top = SPOTS[element]
        x = left + AROUND * (2 * (x - BESIDE) / (1 - BESIDE) - 1) ** 3
        y = top + AROUND * (2 * y - 1) ** 3
    return "CLICK", {
        "locationX": int(width * x),
        "locationY": int(height * y),
        "page": page,
        "element": element,
        "viewportWidth": width,
        "viewportHeight": screen,
        "pageWidth": width,
        "pageHeight": height,
    }


def _page(rng: random.Random, kind: str) -> str:
    return f"item/sku-{int(ITEMS ** rng.random()):04d}" if kind == "item" else kind  # items, too, have favourites


def _spoil(rng: random.Random, action: dict[str, Any]) -> None:
    """Give a good action exactly one fault."""
    fault = int(rng.random() * 5)
    if fault == 0:
        action["type"] = "HOVER"
    elif fault == 1:
        action["time"] = action["time"][:19]  # without fraction and offset
    elif fault == 2:
        del action["time"]
    elif fault == 3:
        action["properties"] = list(action["properties"].values())
    else:
        action["type"], action["properties"] = "CLICK", {"locationX": "52", "locationY": 11}

"""Keys, grants and buckets: their forms and their arithmetic, without a server."""

import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footpath.cli.keys import when
from footpath.errors import CommandFailed, Forbidden, OverRate
from footpath.keys.grant import BURST_SECONDS, OPEN, Bucket, Grant
from footpath.keys.key import ROLES, Key, Role, digest, draw, is_well_formed, read_name, read_origin
from footpath.web.responses import describe

DAY = 86_400_000_000


@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_recognised(role: Role) -> None:
    """A key is fp_, its role, and 32 letters and digits, which are 160 random bits or more; no two are the same."""
    drawn = {draw(role) for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(re.fullmatch(rf"fp_{role}_[A-Za-z0-9]{{32}}", key) and is_well_formed(key.encode()) for key in drawn)
    assert 32 * math.log2(len({letter for key in drawn for letter in key.removeprefix(f"fp_{role}_")})) >= 160


@given(st.binary(max_size=60))
def test_hardly_anything_is_a_key(text: bytes) -> None:
    """What has not the form of a key is not taken for one, and a line break behind one is not overlooked."""
    assert not is_well_formed(text)
    assert not is_well_formed(draw("read").encode() + b"\n")


def test_what_is_kept_is_not_the_key() -> None:
    """A digest has 32 bytes that do not hold the key, and is another for another key."""
    one, other = draw("write"), draw("write")
    assert len(digest(one.encode())) == 32
    assert digest(one.encode()) != digest(other.encode())


ORIGINS = {
    "https://shop.example": "https://shop.example",
    "HTTPS://Shop.Example:443/": "https://shop.example",
    "http://localhost:3000": "http://localhost:3000",
    "http://shop.example:80": "http://shop.example",
    "http://[::1]:8080": "http://[::1]:8080",
    "capacitor://localhost": "capacitor://localhost",
}
NO_ORIGINS = [
    "", "null", "*", "shop.example", "https://", "https://*.shop.example", "https://shop.example/page",
    "https://shop.example?x", "https://u:p@shop.example", "https://shop.example:x", "https://shöp.example", "file://",
    "https://shop.example https://b.example", "https://a\r\nb",
]  # fmt: skip


@pytest.mark.parametrize(("given_", "meant"), ORIGINS.items())
def test_origins_are_read_as_browsers_write_them(given_: str, meant: str) -> None:
    """An origin is kept as a browser writes it in its Origin header."""
    assert read_origin(given_) == meant


@pytest.mark.parametrize("text", NO_ORIGINS)
def test_what_is_no_origin_is_refused(text: str) -> None:
    """An origin that no browser would send is refused, with the way to write it."""
    with pytest.raises(CommandFailed, match=r"https://shop\.example"):
        read_origin(text)


@pytest.mark.parametrize("text", ["", "-x", "a b", "a" * 65, "é", "a\n", "../x", "<b>"])
def test_names_are_plain(text: str) -> None:
    """A name that a log or a table would have to escape is refused."""
    with pytest.raises(CommandFailed, match="--name"):
        read_name(text)


def test_an_end_is_a_time_or_a_duration() -> None:
    """A date means its last moment, a duration counts from now, and what has passed or is neither is refused."""
    now = 20_000 * DAY + 1
    assert when("90d", now) == now + 90 * DAY
    assert when("12h", now) == now + DAY // 2
    assert when("2w", now) == now + 14 * DAY
    assert when("2030-01-01", now) % DAY == DAY - 1
    for text in ("2001-01-01", "0d"):
        with pytest.raises(CommandFailed, match="has passed"):
            when(text, now)
    for text in ("soon", "-5d", "1y", "1.5d"):
        with pytest.raises(CommandFailed, match="90d"):
            when(text, now)


@given(
    st.floats(0.001, 1e6),
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 100)), min_size=1, max_size=50),
)
def test_over_time_the_rate_holds(rate: float, requests: list[tuple[int, float]]) -> None:
    """What goes through is never more than the burst, the rate times the time, and one request."""
    bucket = Bucket(rate, 0.0)
    now = 0.0
    taken = largest = 0
    for actions, pause in requests:
        now += pause
        if not bucket.take(actions, now):
            taken += actions
            largest = max(largest, actions)
    assert taken <= max(rate * BURST_SECONDS, 1) + float(Fraction(rate) * Fraction(now)) * (1 + 1e-9) + largest


@given(st.floats(0.001, 1e6), st.integers(1, 10_000))
def test_waiting_as_long_as_told_is_enough(rate: float, actions: int) -> None:
    """Whoever waits for what Retry-After says gets through, however large the debt; whoever does not, does not."""
    bucket = Bucket(rate, 0.0)
    assert not bucket.take(int(rate * BURST_SECONDS) + 1 + actions, 0.0)
    wait = bucket.take(1, 0.0)
    assert wait < 0.01 or bucket.take(1, wait * 0.99) > 0
    _, headers, _ = describe(OverRate("", wait))
    assert bucket.take(1, int(dict(headers)[b"retry-after"])) == 0


def test_a_request_larger_than_the_bucket_gets_through() -> None:
    """A request that is larger than what a key may send at once is taken while the bucket is not empty."""
    grant = Grant(Key("k", "write", rate=1.0), monotonic=lambda: 0.0)
    grant.charge(10_000)
    for actions in (0, 1):
        with pytest.raises(OverRate, match="'k' may send 1 actions a second"):
            grant.charge(actions)


def test_without_a_rate_everything_goes() -> None:
    """A key without a rate is never over it."""
    grant = Grant(Key("k", "write"))
    for _ in range(100):
        grant.charge(10_000)


ALLOWED: dict[Role, set[Role]] = {"write": {"write"}, "read": {"read"}, "admin": set(ROLES)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("needed", ROLES)
def test_a_role_allows_itself_and_admin_all(role: Role, needed: Role) -> None:
    """A key is good for its own role; admin for all."""
    if needed in ALLOWED[role]:
        Grant(Key("k", role)).check(needed, None)
    else:
        with pytest.raises(Forbidden, match=f"has the role {role}"):
            Grant(Key("k", role)).check(needed, None)


A, B = "https://a.example", "https://b.example"
CHECKS: list[tuple[Role, tuple[str, ...], str | None, bool]] = [
    ("write", (), None, True),
    ("write", (), A, True),
    ("write", (A,), A, True),
    ("write", (A,), B, False),
    ("write", (A,), "", False),
    ("write", (A,), None, False),
    ("read", (A,), None, True),
    ("read", (A,), B, False),
    ("read", (), B, True),
    ("admin", (A, B), B, True),
    ("admin", (A,), B, False),
]


@pytest.mark.parametrize(("role", "origins", "origin", "good"), CHECKS)
def test_origins_bind(role: Role, origins: tuple[str, ...], origin: str | None, *, good: bool) -> None:
    """A key with origins is good from those only, and one that writes must come from one."""
    grant = Grant(Key("k", role, origins))
    if good:
        grant.check(role, origin)
    else:
        with pytest.raises(Forbidden):
            grant.check(role, origin)


def test_pages_share_what_the_key_lists() -> None:
    """Any page may read answers to a write key without origins, and no page those to another key without."""
    assert Grant(Key("k", "write")).shares("write", A)
    assert not Grant(Key("k", "write")).shares("read", A)
    assert not Grant(Key("k", "write", (B,))).shares("write", A)
    assert not Grant(Key("k", "read")).shares("read", A)
    assert Grant(Key("k", "read", (A,))).shares("read", A)
    assert Grant(Key("k", "admin", (A,))).shares("read", A)
    assert not OPEN.shares("read", A)

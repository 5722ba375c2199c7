"""Windows of a large read: whatever the catalog says, they are disjoint, in order and hold everything."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from footpath.action import MAX_MICROS, MIN_MICROS
from footpath.find.windows import by_time, by_user
from footpath.store.base import Part

users = st.text(min_size=1, max_size=3)
rows = st.integers(1, 50)
times = st.integers(MIN_MICROS, MAX_MICROS) | st.integers(-3, 60) | st.integers(MAX_MICROS - 60, MAX_MICROS)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """A part as any catalog may name it."""
    low, high = sorted([draw(users), draw(users)])
    first, last = sorted([draw(times), draw(times)])
    return Part("p", draw(st.integers(1, 3)), low, high, first, last, 1, 2, draw(st.integers(1, 10**7)), 1, "")


def part(user_min: str, user_max: str, time_min: int, time_max: int, held: int) -> Part:
    """A part by what matters here."""
    return Part("p", 1, user_min, user_max, time_min, time_max, 1, 2, held, 1, "")


@given(st.lists(parts(), max_size=8), st.integers(1, 200))
def test_by_user_covers_everything_once(given_parts: list[Part], size: int) -> None:
    """Windows by user run from the beginning to the end, each beginning where the one before ends."""
    windows = list(by_user(given_parts, size))
    assert windows[0][0] is None
    assert windows[-1][1] is None
    for (low, high), (following, _) in pairwise(windows):
        assert high is not None
        assert high == following
        assert low is None or low < high


@given(st.lists(parts(), max_size=8), st.integers(1, 10**8), st.none() | times, st.none() | times)
@example([part("a", "a", MAX_MICROS, MAX_MICROS, 10**7)], 1, None, None)
@example([part("a", "a", MAX_MICROS - 5, MAX_MICROS - 3, 10**7)] * 5, 1_000, None, None)
@example([part("a", "a", MIN_MICROS, MIN_MICROS, 7), part("a", "a", MAX_MICROS, MAX_MICROS, 7)], 1, None, None)
def test_by_time_covers_everything_once(
    given_parts: list[Part], size: int, time_from: int | None, time_to: int | None
) -> None:
    """Windows by time run from the beginning to the end, rise, and cut only inside what is asked for."""
    windows = by_time(given_parts, size, time_from, time_to)
    assert windows[0][0] is None
    assert windows[-1][1] is None
    for (low, high), (following, _) in pairwise(windows):
        assert high is not None
        assert high == following
        assert low is None or low < high
        assert time_from is None or high > time_from
        assert time_to is None or high <= time_to


@given(st.integers(1, 40), st.integers(1, 100))
def test_by_user_is_balanced_when_parts_are_even(number: int, held: int) -> None:
    """Over parts of one size that follow each other, no window but the first holds less than asked, nor a part more."""
    even = [part(f"{place:04}", f"{place:04}z", 0, 9, held) for place in range(number)]
    wanted = 4 * held
    windows = list(by_user(even, wanted))
    for low, high in windows:
        inside = sum(p.rows for p in even if (low is None or p.user_min >= low) and (high is None or p.user_min < high))
        assert inside <= wanted
        assert inside == wanted or low is None or high is None


@given(st.integers(1, 20), st.integers(1, 10), st.integers(MIN_MICROS, MAX_MICROS - 10**9))
def test_by_time_is_balanced_when_parts_are_even(layers: int, pieces: int, begin: int) -> None:
    """Over parts spread evenly, each window is as long as the others, to a few microseconds."""
    length = 1_000 * layers * pieces
    even = [part("a", "z", begin, begin + length - 1, 1_000 * pieces)] * layers
    windows = by_time(even, 1_000 * layers, None, None)
    assert len(windows) == pieces
    edges = [begin, *[high for _, high in windows[:-1] if high is not None], begin + length]
    assert all(abs(high - low - 1_000 * layers) <= len(windows) for low, high in pairwise(edges))


@given(st.integers(1_000, 10**6), st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), max_size=20))
def test_by_time_needs_no_more_windows_than_rows_fill(size: int, spans: list[tuple[int, int]]) -> None:
    """There are at most as many windows as the rows fill, and one."""
    given_parts = [part("a", "z", MAX_MICROS - 10**13 + low, MAX_MICROS - low, held) for low, held in spans]
    assert len(by_time(given_parts, size, None, None)) <= sum(held for _, held in spans) // size + 1


def test_nothing_stored_is_one_window() -> None:
    """Without parts there is one window, for what is hot."""
    assert list(by_user([], 5)) == [(None, None)]
    assert by_time([], 5, None, None) == [(None, None)]

"""Which runs are merged: few remain however many are flushed, and little is written again for it."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from footpath.keeper.merge import (
    FANOUT,
    QUIET_BUDGET,
    QUIET_RUNS,
    Run,
    plan,
    plan_quiet,
    rows_of,
    runs_of,
    tier,
    windows,
)
from footpath.store.base import Part

PART = 1_000


def run_of(number: int, held: int) -> Run:
    """A run of one part."""
    return [Part(f"p{number}", number, "a", "z", 0, 1, 1, 2, held, 1, "")]


def simulate(flushes: list[int], part_actions: int = PART) -> tuple[list[int], int, int]:
    """Flush these numbers of actions and merge after each whatever must be.

    Returns: the sizes of the runs that remain, the most there ever were after a flush, and the rows written by merges.
    """
    runs: list[Run] = []
    most = rewritten = 0
    for number, held in enumerate(flushes):
        runs.append(run_of(number, held))
        while chosen := plan(runs, part_actions):
            merged = rows_of(chosen)
            rewritten += merged
            runs = [run for run in runs if run not in chosen] + [run_of(len(flushes) + rewritten + number, merged)]
        most = max(most, len(runs))
    return [rows_of([run]) for run in runs], most, rewritten


def most_runs(total: int, part_actions: int = PART) -> int:
    """FANOUT - 1 runs for each tier that this many rows can reach."""
    return (FANOUT - 1) * (tier(total, part_actions) + 1)


@pytest.mark.parametrize("held", [1, 10, 333, PART - 1, PART, PART + 1, 3_999, 4_000, 50_000])
def test_thousands_of_equal_flushes_leave_few_runs(held: int) -> None:
    """5,000 flushes of one size leave at most FANOUT - 1 runs a tier, and each row is rewritten once a tier."""
    flushes = 5_000
    left, most, rewritten = simulate([held] * flushes)
    assert sum(left) == held * flushes
    assert most <= most_runs(held * flushes)
    below_a_part = flushes * min(PART, held * flushes)  # what grows up to one part is rewritten with each merge
    assert rewritten <= held * flushes * (tier(held * flushes, PART) + 1) + below_a_part


@given(st.lists(st.integers(1, 3 * PART) | st.integers(1, 3) | st.just(100 * PART), min_size=1, max_size=400))
@settings(max_examples=60)
def test_runs_stay_logarithmic_whatever_is_flushed(flushes: list[int]) -> None:
    """Flushes of any sizes in any order leave at most FANOUT - 1 runs a tier, at all times."""
    left, most, _ = simulate(flushes)
    assert sum(left) == sum(flushes)
    assert most <= most_runs(sum(flushes))


def test_the_defaults_rewrite_an_action_a_few_times() -> None:
    """A day of full flushes at 10,000 actions a second is rewritten less than once a tier."""
    part_actions, held = 250_000, 150_000
    total = 10_000 * 86_400
    _, most, rewritten = simulate([held] * (total // held), part_actions)
    assert most <= most_runs(total, part_actions)
    assert rewritten <= total * math.ceil(math.log(total / held, FANOUT))


@given(st.lists(st.integers(1, 10**6), max_size=30), st.integers(1, 10**5))
def test_a_plan_takes_whole_tiers(sizes: list[int], part_actions: int) -> None:
    """What must be merged is FANOUT runs or more of one tier, all of it, and no lower tier is full."""
    runs = [run_of(number, held) for number, held in enumerate(sizes)]
    chosen = plan(runs, part_actions)
    tiers = [tier(rows_of([run]), part_actions) for run in runs]
    full = {size for size in tiers if tiers.count(size) >= FANOUT}
    assert chosen == ([run for run, size in zip(runs, tiers, strict=True) if size == min(full)] if full else [])


@given(st.lists(st.integers(1, 10**6) | st.integers(10**6, 10**8), max_size=30), st.floats(0, QUIET_BUDGET))
@example([11_800_000, *[10_000_000] * 8, *[1_230_000] * 6, 150_000, 140_000], QUIET_BUDGET)
def test_quiet_merges_take_the_smallest_within_their_budget(sizes: list[int], budget: float) -> None:
    """A quiet merge takes the smallest runs: so many that QUIET_RUNS remain or the budget could never hold one more."""
    runs = [run_of(number, held) for number, held in enumerate(sizes)]
    rising = sorted(sizes)
    wanted = max(0, len(runs) - QUIET_RUNS + 1)
    while sum(rising[:wanted]) > QUIET_BUDGET:
        wanted -= 1
    chosen = plan_quiet(runs, budget)
    if wanted < 2 or sum(rising[:wanted]) > budget:
        assert not chosen
    else:
        assert sorted(map(rows_of, [[run] for run in chosen])) == rising[:wanted]


def test_quiet_merges_end_with_few_runs() -> None:
    """A hundred million actions in seventeen runs come down to QUIET_RUNS by quiet merges alone, in two of them."""
    sizes = [11_800_000, *[10_000_000] * 8, *[1_230_000] * 6, 150_000, 140_000]
    runs = [run_of(number, held) for number, held in enumerate(sizes)]
    merges = 0
    while chosen := plan_quiet(runs, QUIET_BUDGET):
        merges += 1
        runs = [run for run in runs if run not in chosen] + [run_of(100 + merges, rows_of(chosen))]
    assert (len(runs), merges) == (QUIET_RUNS, 2)


@given(st.lists(st.tuples(st.integers(1, 5), st.text(min_size=1, max_size=2)), max_size=20))
def test_runs_are_parts_by_number(given_: list[tuple[int, str]]) -> None:
    """Every part is in the run of its number, runs by number and parts in them by user."""
    parts = [Part(str(place), number, user, user, 0, 0, 0, 0, 1, 1, "") for place, (number, user) in enumerate(given_)]
    runs = runs_of(parts)
    assert sorted(part.id for run in runs for part in run) == sorted(part.id for part in parts)
    assert [run[0].run for run in runs] == sorted({part.run for part in parts})
    for run in runs:
        assert {part.run for part in run} == {run[0].run}
        assert [part.user_min for part in run] == sorted(part.user_min for part in run)


groups = st.lists(st.tuples(st.text(max_size=2), st.integers(1, 50)), max_size=30).map(sorted)


@given(groups, st.integers(1, 100))
@example([("", 5), ("", 5), ("a", 5)], 1)
def test_merge_windows_cover_every_user_once(starts: list[tuple[str, int]], size: int) -> None:
    """The ranges of a merge rise from the beginning to the end without gap or overlap."""
    ranges = list(windows(starts, size))
    edges = [high for _, high in ranges[:-1]]
    assert [low for low, _ in ranges] == [None, *edges]
    assert ranges[-1][1] is None
    assert all(edge is not None for edge in edges)
    assert edges == sorted(set(edges), key=str)


@given(st.dictionaries(st.text(min_size=1, max_size=2), st.integers(1, 50)), st.integers(1, 100))
def test_merge_windows_are_about_a_part(held: dict[str, int], size: int) -> None:
    """When each row group begins with another user, a range but the last is a part, and at most a row group more."""
    starts = sorted(held.items())
    for low, high in list(windows(starts, size))[:-1]:
        assert high is not None
        inside = [rows for user, rows in starts if (low or "") <= user < high]
        assert size <= sum(inside) < size + inside[-1]

"""Merge: several runs become one larger run, so that a path is read from a few files, however much is stored.

plan     Size-tiered: a run's tier is the power of `FANOUT` that its rows reach, counted in full parts; `FANOUT` runs of
         one tier are merged. So the runs are at most (FANOUT - 1) a tier, and the tiers grow with the logarithm of the
         data; an action is rewritten about once a tier. While little comes in, runs are merged further, down to
         `QUIET_RUNS`, from the smallest up, as far as a budget of rows a second allows: all at once where that is
         within `QUIET_BUDGET`, else as many as are.
windows  A merge goes through its runs by ranges of user_id, each about one part large, cut at row-group boundaries:
         memory is that of sorting one part, however large the runs, and the new parts do not overlap. Large actions
         count as several, so that `WINDOW_BYTES` are sorted at once; what one user did is never divided.
steps    A `Merge` pauses after each part, so that a smaller merge that falls due in the middle of a long one goes
         first.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import apsw
import duckdb

from footpath.store import parquet
from footpath.store.base import Part, touching
from footpath.store.local import LocalStore

FANOUT = 8  # at 4, an action is rewritten half as often again; runs are fewer, but see QUIET_RUNS
QUIET_RUNS = 3
QUIET_BUDGET = 50_000_000.0  # rows: the most that is saved up for one quiet merge, and so the largest
WINDOW_BYTES = 32 << 20  # of a part before compression: DuckDB needs over 366 MB to sort 64 MB of the largest actions

Run = list[Part]


def runs_of(parts: Sequence[Part]) -> list[Run]:
    """Parts grouped by run, in the order of their run numbers."""
    return [
        list(group)
        for _, group in groupby(sorted(parts, key=lambda part: (part.run, part.user_min)), key=lambda part: part.run)
    ]


def rows_of(runs: Sequence[Run]) -> int:
    """How many rows some runs hold."""
    return sum(part.rows for run in runs for part in run)


def tier(rows: int, part_actions: int) -> int:
    """The tier of a run: 0 below one full part, then one more for each factor of `FANOUT`."""
    size = 0
    while rows >= part_actions * FANOUT**size:
        size += 1
    return size


def plan(runs: Sequence[Run], part_actions: int) -> list[Run]:
    """The runs that must be merged next: all of the lowest tier that holds `FANOUT` or more. Empty if none must."""
    by_tier: dict[int, list[Run]] = {}
    for run in runs:
        by_tier.setdefault(tier(rows_of([run]), part_actions), []).append(run)
    full = sorted(size for size, members in by_tier.items() if len(members) >= FANOUT)
    return by_tier[full[0]] if full else []


def plan_quiet(runs: Sequence[Run], budget: float) -> list[Run]:
    """The runs that may be merged while little comes in: the smallest, so that `QUIET_RUNS` remain, within budget.

    Fewer of them where all would be over `QUIET_BUDGET`: waiting for that would be in vain.
    """
    smallest = sorted(runs, key=lambda run: rows_of([run]))[: max(0, len(runs) - QUIET_RUNS + 1)]
    while rows_of(smallest) > QUIET_BUDGET:
        smallest.pop()
    return smallest if len(smallest) > 1 and rows_of(smallest) <= budget else []


def merge(engine: duckdb.DuckDBPyConnection, store: LocalStore, runs: Sequence[Run], part_actions: int) -> "Merge":
    """Begin to merge some live runs into one, of parts of about `part_actions` rows; iterating does the work.

    Raises:
        PartDamaged: a part of them is not what was written; `store.whole` knows which from now on.
    """
    return Merge(engine, store, runs, part_actions)


class Merge:
    """Merges some runs into one: an iterator of the rows of each part as it is written.

    When its transaction fails, SQLite's log may hold it nevertheless, until the next one is written over it: a crash in
    between would bring it back, and with it the new parts. So their files stay then, for the sweep of the next start.
    Only of a full disk it is certain that the end of the transaction was not written: then they make room at once.

    It counts once the iterator has ended. Until then `old` are the parts that it reads, and `new` those that it wrote,
    which are in no catalog; whoever writes one of either anew in between says so with `put`.
    """

    def __init__(
        self, engine: duckdb.DuckDBPyConnection, store: LocalStore, runs: Sequence[Run], part_actions: int
    ) -> None:
        """See `merge`."""
        self.old = [part for run in runs for part in run]
        store.whole.check(self.old)
        self.new: list[Part] = []
        self._engine = engine
        self._store = store
        self._number = store.next_run()
        files = [store.path(part) for part in self.old]
        starts = parquet.row_group_starts(engine, files, WINDOW_BYTES / part_actions)
        self._windows = windows(starts, part_actions)
        self._is_over = False

    def __iter__(self) -> Iterator[int]:
        """Itself."""
        return self

    def __next__(self) -> int:
        """Write the next part; at the end put the new parts in the place of the old ones."""
        if self._is_over:
            raise StopIteration
        try:
            for low, high in self._windows:
                part = self._write(low, high)
                if part is not None:
                    self.new.append(part)
                    return part.rows
            self._finish()
        except apsw.Error as error:
            if isinstance(error, apsw.FullError):
                self.abandon()
            self._is_over = True
            raise
        except Exception:
            self.abandon()
            raise
        self._is_over = True
        raise StopIteration

    def put(self, instead: Mapping[str, Part | None]) -> list[Part]:
        """Go on with other parts, or none, in the place of those with some ids, from which rows were removed.

        Returns:
            Those of `new` that were put aside: no part of anything any more.
        """
        gone = [part for part in self.new if part.id in instead]
        self.old = _put(self.old, instead)
        self.new = _put(self.new, instead)
        return gone

    def abandon(self) -> None:
        """Give up: remove what was written. Without effect once the merge has ended."""
        if not self._is_over:
            self._is_over = True
            for part in self.new:  # the next try writes others, so on a full disk these would be in its way
                self._store.path(part).unlink()

    def _finish(self) -> None:
        rows = sum(part.rows for part in self.old)
        if sum(part.rows for part in self.new) != rows:
            raise RuntimeError(
                f"a merge of {rows} rows gave {sum(part.rows for part in self.new)}; nothing was replaced"
            )
        parquet.sync_folder(self._store.parts_folder)
        self._store.replace(self.old, self.new)

    def _write(self, low: str | None, high: str | None) -> Part | None:
        inputs = touching(self.old, low, high)
        if not inputs:
            return None
        bindings: dict[str, object] = {"files": [parquet.pattern(self._store.path(part)) for part in inputs]}
        conditions = ["true"]
        if low is not None:
            conditions.append("user_id >= $low")
            bindings["low"] = low
        if high is not None:
            conditions.append("user_id < $high")
            bindings["high"] = high
        select = f"{parquet.stored()} WHERE {' AND '.join(conditions)}"
        return parquet.write_part(self._engine, self._store.parts_folder, self._number, select, bindings)


def _put(parts: Sequence[Part], instead: Mapping[str, Part | None]) -> list[Part]:
    swapped = [instead.get(part.id, part) for part in parts]
    return [part for part in swapped if part is not None]


def windows(starts: Sequence[tuple[str, int]], part_actions: int) -> Iterator[tuple[str | None, str | None]]:
    """Ranges of user_id, from (inclusive) and to (exclusive), that together hold everything, each about one part large.

    Args:
        starts: smallest user_id and rows of every row group, by user_id.
        part_actions: the rows that a range should hold.
    """
    low: str | None = None
    held = 0
    for user, rows in starts:
        if held >= part_actions and user != (low or ""):
            yield low, user
            low, held = user, 0
        held += rows
    yield low, None

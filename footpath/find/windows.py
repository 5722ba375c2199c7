"""How a large read is cut into windows that are sorted one after the other: flat memory, and the first row soon. Pure.

Windows are made from what the catalog knows of the parts, so they are right whatever it says and balanced as far as it
is even: by user_id for paths, by time for everything else.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from footpath.store.base import Part

Range = tuple[int | None, int | None]
_ROW = 1 << 64  # rows are counted in whole fractions: floats cannot tell microseconds of the year 9999 apart


def by_user(parts: Sequence[Part], rows: int) -> Iterator[tuple[str | None, str | None]]:
    """Ranges of user_id, from (inclusive) and to (exclusive), of about `rows` rows each; the first is smaller."""
    low: str | None = None
    held = 0
    wanted = rows // 16
    for part in sorted(parts, key=lambda part: part.user_min):
        if held >= wanted and part.user_min != (low or ""):
            yield low, part.user_min
            low, held, wanted = part.user_min, 0, rows
        held += part.rows
    yield low, None


def by_time(parts: Sequence[Part], rows: int, time_from: int | None, time_to: int | None) -> list[Range]:
    """Ranges of time in microseconds, from (inclusive) and to (exclusive), in rising order.

    Args:
        parts: whose rows are taken as spread evenly over their time range.
        rows: about how many a window should hold.
        time_from: the beginning of what is asked for; nothing before it counts.
        time_to: its end.
    """
    edges: list[tuple[int, int]] = []
    for part in parts:
        low = part.time_min if time_from is None else max(part.time_min, time_from)
        high = part.time_max if time_to is None else min(part.time_max, time_to)
        if low <= high:
            density = part.rows * _ROW // (part.time_max - part.time_min + 1)
            edges += [(low, density), (high + 1, -density)]
    edges.sort()
    wanted = rows * _ROW
    cuts: list[int] = []
    held = density = 0
    for (position, change), (following, _) in pairwise(edges):
        density += change
        while held + density * (following - position) > wanted:
            if held < wanted:
                step = -((held - wanted) // density)
                held += density * step
                position += step  # noqa: PLW2901 - the loop walks on within this stretch
            if position >= following:
                break
            cuts.append(position)
            held = 0
        held += density * max(0, following - position)
    starts: list[int | None] = [None, *cuts]
    return list(zip(starts, [*cuts, None], strict=True))

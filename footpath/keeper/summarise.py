"""Summarise: sums over the segments of runs, made ahead for overviews (see `footpath.store.summaries`).

It comes last: when nothing is to be merged and nothing expires, and within a budget of rows a second, one segment at a
time. The largest come first, since the smaller a run is, the sooner it is merged away; what is smaller than one part is
left to the reads. A segment that cannot be summed up, for lack of memory or since a part is damaged, is left out until
the keeper starts again: reads look at its actions themselves.
"""

from dataclasses import dataclass, field

import duckdb
import structlog

from footpath.errors import PartDamaged
from footpath.store.base import Part
from footpath.store.local import LocalStore
from footpath.store.summaries import Segment, Summaries, segments

_log = structlog.get_logger()


@dataclass
class Summariser:
    """Makes the summaries of one data folder, and sweeps those that are not wanted any more."""

    summaries: Summaries
    grace_seconds: float
    smallest: int
    """A segment of fewer actions gets no summary."""
    left_out: set[str] = field(default_factory=set)
    """The names of segments that could not be summed up."""
    _settled: list[Part] | None = None  # the live parts for which nothing was left to do

    def step(self, engine: duckdb.DuckDBPyConnection, store: LocalStore, live: list[Part]) -> int:
        """Make one summary, if one is wanted; how many actions it took.

        Args:
            engine: sums up.
            store: of the folder.
            live: its live parts, all of them.
        """
        if live == self._settled:
            return 0
        wanted = segments(live)
        waiting = self.summaries.sweep({segment.name for segment in wanted}, self.grace_seconds)
        segment = self._next(wanted)
        if segment is None:
            self._settled = None if waiting else live
            return 0
        try:
            store.whole.check(segment.parts)
            self.summaries.write(engine, segment, [store.path(part) for part in segment.parts])
        except (duckdb.Error, PartDamaged) as error:
            self.left_out.add(segment.name)
            _log.warning("a segment is left without a summary", parts=len(segment.parts), error=type(error).__name__)
        return segment.rows

    def _next(self, wanted: list[Segment]) -> Segment | None:
        made = self.summaries.found().keys() | self.left_out
        missing = [segment for segment in wanted if segment.rows >= self.smallest and segment.name not in made]
        return max(missing, key=lambda segment: segment.rows, default=None)

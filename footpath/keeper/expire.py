"""Expire: what is older than `keep` by its own time goes, whenever it came.

reads    Leave expired actions out from the moment they expire (`footpath.find.view.kept`), whatever is still on disk.
journal  A flush leaves expired actions out, so they are never put into a part.
whole    A part of which everything has expired is dropped through the catalog at the next pass, within a second or two;
         its file stays for the grace period of running reads, like that of a merge.
rewrite  A large run is sorted by user, so each of its parts reaches over the whole of time, and some of each part
         expires every day. A part is rewritten once its oldest action has been due for a day (for a `keep` of less
         than ten days, for a tenth of it): so each part is rewritten once a day at most, and an action is off the disk
         at most a day and the grace period after it expired. The same budget of rows a second as a quiet merge has
         bounds it: 8 billion rows a day.

Rewriting by share (such as a tenth of a part) was left out: the catalog knows a part's range of times and not how many
rows lie where in it, so that one action of the year 9999 would keep the others of its part for ever.
"""

from collections.abc import Sequence

import apsw
import duckdb

from footpath.keeper.rewrite import Rows, without
from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore

DAY = 86_400_000_000  # microseconds


def before(oldest: int) -> Rows:
    """The rows that have expired when `oldest`, in microseconds, is the first time that is kept."""
    return Rows("time < make_timestamp($oldest)", {"oldest": oldest})


def whole(parts: Sequence[Part], oldest: int) -> list[Part]:
    """The parts of which everything has expired."""
    return [part for part in parts if part.time_max < oldest]


def due(parts: Sequence[Part], oldest: int, keep: int) -> list[Part]:
    """The parts that hold what expired so long ago that they must be rewritten, or dropped."""
    delay = min(DAY, keep // 10)
    return [part for part in parts if part.time_min < oldest - delay]


def rewrite(engine: duckdb.DuckDBPyConnection, store: LocalStore, part: Part, oldest: int) -> int:
    """Replace a part by one without what has expired; how many actions are left."""
    new, _ = without(engine, store, part, before(oldest))
    try:
        parquet.sync_folder(store.parts_folder)
    except OSError:  # the next try writes another
        if new is not None:
            store.path(new).unlink()
        raise
    try:
        store.replace([part], [] if new is None else [new])
    except apsw.FullError:  # see `Merge`
        if new is not None:
            store.path(new).unlink()
        raise
    return 0 if new is None else new.rows

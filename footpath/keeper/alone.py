"""What the keeper does, here and now, for commands that work without a server."""

from contextlib import closing

import apsw
import duckdb
from filelock import FileLock, Timeout

from footpath import database
from footpath.config import Settings
from footpath.errors import CommandFailed, PartDamaged
from footpath.keeper import forget
from footpath.keeper import merge as merging
from footpath.keeper.flush import flush
from footpath.keeper.loop import FLUSH_PARTS, lock_path
from footpath.store import parquet
from footpath.store.local import LocalStore


def settle(settings: Settings) -> None:
    """Flush everything and merge what must be merged, for a caller that holds the keeper lock."""
    with (
        closing(database.connect(settings.data)) as connection,
        closing(LocalStore(settings.data)) as store,
        parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
    ):
        while flush(connection, engine, store, settings.part_actions * FLUSH_PARTS):
            pass
        while chosen := merging.plan(merging.runs_of(store.live()), settings.part_actions):
            for _ in merging.merge(engine, store, chosen, settings.part_actions):
                pass


def forget_alone(settings: Settings) -> bool:
    """Do all orders to forget, unless the folder has a keeper, which does them itself; whether they are done.

    Raises:
        CommandFailed: something is in the way; the orders stay.
    """
    lock = FileLock(lock_path(settings.data))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        with (
            closing(database.connect(settings.data)) as connection,
            closing(LocalStore(settings.data)) as store,
            parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
        ):
            forget.finish(connection, engine, store, flush_actions=settings.part_actions * FLUSH_PARTS)
    except (apsw.Error, duckdb.Error, OSError, PartDamaged, RuntimeError) as error:
        raise CommandFailed(
            f"not everything is removed ({type(error).__name__}: {error}); mend that and run the same again, or start"
            " the server, which goes on with it"
        ) from error
    finally:
        lock.release()
    return True

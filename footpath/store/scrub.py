"""Leaves no copy of what was deleted in the files of the database.

A row that is deleted is overwritten at once (`secure_delete`), and so is each page that is freed. Two kinds of copies
stay: SQLite moves rows from page to page as tables grow and shrink, and does not overwrite where they were; and the
write-ahead log holds older pages until it is emptied. So the tables that name users are written anew, each in one
transaction, and the log is emptied. The large ones, of keys and ids, hold only digests and stay as they are.

Leaves out what a disk keeps of files that were removed or overwritten: that is for its own encryption.
"""

import time

import apsw

from footpath import database

NAMING = ("journal", "rejects", "parts", "forgetting")
"""The tables that hold ids of users, and what they did."""

BUSY_MILLISECONDS = 50  # to wait for others while appends wait for us
PAUSE_SECONDS = 0.05


def rewrite_tables(connection: apsw.Connection) -> None:
    """Write every table that names users anew. Appends wait for the time of each: 0.1 s for 100,000 journal rows."""
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)  # nothing goes, so nothing must go with it
    try:
        for table in NAMING:
            columns = ", ".join(str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})"))
            with database.write(connection):
                connection.execute(
                    f"CREATE TEMP TABLE moved AS SELECT {columns} FROM {table}; DELETE FROM {table};"
                    f" INSERT INTO {table} ({columns}) SELECT * FROM moved; DROP TABLE temp.moved"
                )
    finally:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)


def empty_log(connection: apsw.Connection, seconds: float) -> None:
    """Copy the write-ahead log into the database and leave it with no byte.

    Raises:
        apsw.BusyError: readers of an older state were in the way for all of `seconds`.
    """
    deadline = time.monotonic() + seconds
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    try:
        while True:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # the most of it, while nobody waits
            (busy, _, _) = database.one(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            if not busy:
                return
            if time.monotonic() > deadline:
                raise apsw.BusyError(f"the write-ahead log was in use for {seconds:.0f} s and could not be emptied")
            time.sleep(PAUSE_SECONDS)
    finally:
        connection.set_busy_timeout(database.BUSY_MILLISECONDS)

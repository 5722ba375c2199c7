"""The one SQLite file of a data folder: how it is opened, its tables, and the state that orders everything.

Journal, catalog and idempotency answers live in one file so that one transaction can change them together: a flush
adds parts and moves `state.flushed` at once, so no action is ever in both or in neither.

`state.seq` is the highest seq ever given; `state.flushed` the highest seq that is in parts. Journal rows up to it are
dead: no reader sees them, and the keeper deletes them in small steps, so that the flush's own commit stays short.
Seqs are given inside the write transaction, so the order of seq is the order of commit, and the journal rows above
`flushed` are always a complete suffix. `state.run` is the highest number ever given to a run.

What is deleted is overwritten (`secure_delete`): trimming 150,000 journal rows of 100 bytes takes 0.11 s with it and
without, of 1,000 bytes 0.58 s instead of 0.48. Copies that SQLite itself left in moving rows about are another matter:
see `footpath.store.scrub`.

SQLite comes with apsw: Debian 12's own 3.40.1 has the WAL-reset bug that 3.51.3 mended
(sqlite.org/wal.html#walresetbug).
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from footpath.errors import FolderUnusable, SchemaUnknown

FILE_NAME = "footpath.db"
APPLICATION_ID = 0x66_6F_6F_74  # "foot"
BUSY_MILLISECONDS = 5_000  # as long as a commit on a slow disk may hold the lock before another gives up
STARTING_BYTES = 1 << 20  # what SQLite's files beside the database, locks and notes need at a start, and some more
CHECKPOINT_PAGES = 8_000  # 32 MB of WAL: a checkpoint's fsyncs every few seconds at full load, not several a second

_SCHEMA = f"""
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    flushed INTEGER NOT NULL,
    run INTEGER NOT NULL
);
INSERT INTO state VALUES (1, 0, 0, 0);
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,    -- of the first action of the batch
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    count INTEGER NOT NULL,
    time_min INTEGER NOT NULL,  -- microseconds since 1970 UTC, as all times here
    time_max INTEGER NOT NULL,
    types INTEGER NOT NULL,     -- sum of bits: 1 CLICK, 2 VIEW, 4 NAVIGATE
    received_at INTEGER NOT NULL,
    actions BLOB NOT NULL       -- JSON array, or zstd of one
);
CREATE TABLE parts (
    id TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    user_min TEXT NOT NULL,
    user_max TEXT NOT NULL,
    time_min INTEGER NOT NULL,
    time_max INTEGER NOT NULL,
    seq_min INTEGER NOT NULL,
    seq_max INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    removed_at INTEGER          -- set when a merge replaced it; its file goes after a grace period
) WITHOUT ROWID;
CREATE INDEX parts_by_user ON parts (user_min, user_max) WHERE removed_at IS NULL;
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    digest BLOB NOT NULL,       -- sha256 of the body
    answer BLOB NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""

_STEPS = (
    """
ALTER TABLE state ADD COLUMN keys_version INTEGER NOT NULL DEFAULT 0;       -- moves with every change of `keys`
ALTER TABLE state ADD COLUMN forgotten_version INTEGER NOT NULL DEFAULT 0;  -- moves with every change of `forgotten`
UPDATE idempotency SET key = key_digest(key), answer = x'';     -- from now on: both can name a user
ALTER TABLE state ADD COLUMN keep INTEGER;      -- microseconds that an action is kept after its time; NULL: for ever
CREATE TABLE keys (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,         -- write, read or admin
    digest BLOB NOT NULL UNIQUE,
    origins TEXT NOT NULL,      -- JSON array; empty: any for a write key, none for the others
    rate REAL,                  -- actions a second; NULL is no limit
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;
CREATE TABLE rejects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    length INTEGER NOT NULL,    -- of the action as it was sent, in bytes
    raw BLOB NOT NULL,          -- it, or its beginning when it was too long
    size INTEGER GENERATED ALWAYS AS (          -- what counts against reject_bytes; 200 for the rest of the row
        length(raw) + length(CAST(user_id AS BLOB)) + length(CAST(session_id AS BLOB)) + 200
    ) VIRTUAL
);
CREATE INDEX rejects_by_user ON rejects (user_id);
ALTER TABLE state ADD COLUMN reject_bytes INTEGER NOT NULL DEFAULT 0;   -- the sum of rejects.size
CREATE TRIGGER rejects_added AFTER INSERT ON rejects
    BEGIN UPDATE state SET reject_bytes = reject_bytes + NEW.size; END;
CREATE TRIGGER rejects_deleted AFTER DELETE ON rejects
    BEGIN UPDATE state SET reject_bytes = reject_bytes - OLD.size; END;
CREATE TABLE action_ids (
    user INTEGER NOT NULL,      -- 64 bits of a digest of user_id: a user's ids can be found and forgotten
    id BLOB NOT NULL,           -- 128 bits of a digest of user_id and id
    at INTEGER NOT NULL,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE INDEX action_ids_by_age ON action_ids (at);
CREATE TABLE members (
    part_id TEXT PRIMARY KEY,
    digests BLOB NOT NULL       -- of the user and session ids in a part, see store/members
);
CREATE TRIGGER members_go_with_their_part AFTER DELETE ON parts
BEGIN
    DELETE FROM members WHERE part_id = old.id;
END;
CREATE TABLE forgotten (
    digest BLOB PRIMARY KEY,    -- sha256 of user_id: the tombstone must not name whom it forgets
    at INTEGER NOT NULL,
    until INTEGER NOT NULL      -- what comes for this user before is refused
) WITHOUT ROWID;
CREATE TABLE forgetting (       -- what was asked of the keeper, and its receipt
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT,               -- NULL once nothing names them any more
    before INTEGER,             -- only actions of before this time; NULL: all
    last_seq INTEGER NOT NULL,  -- what comes with a higher one stays
    asked_at INTEGER NOT NULL,
    actions INTEGER,            -- how many there were; NULL until they are counted
    parts INTEGER,              -- how many held them
    rejects INTEGER,
    action_ids INTEGER,
    trouble TEXT,               -- why it is not done yet, if something was in the way
    done_at INTEGER             -- when the bytes were gone
);
""",
    """
ALTER TABLE state ADD COLUMN folder TEXT NOT NULL DEFAULT '';  -- with seq the name of an action, wherever it is
UPDATE state SET folder = lower(hex(randomblob(16)));
""",
)
"""How a database of schema 1 becomes one of each later schema, in order. A new database takes all of them."""

SCHEMA_VERSION = 1 + len(_STEPS)


def make_folder(folder: Path) -> None:
    """Make the folder where it does not exist.

    Raises:
        FolderUnusable: it cannot be made or written, or its path is one that DuckDB cannot read.
    """
    if os.name != "nt" and "\\" in str(folder) and set(str(folder)) & set("*?["):
        raise FolderUnusable(
            f"the path {folder} has a backslash together with *, ? or [, which DuckDB cannot read:"
            " choose another folder with --data"
        )
    try:
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise FolderUnusable(f"cannot write in the data folder {folder}: {error.strerror or error}") from error


def prepare(folder: Path) -> None:
    """Make the folder and its database where they do not exist, and bring an older database forward.

    Only for the one that holds the folder (`service.hold`): an older footpath on it would not know the new schema.

    Raises:
        FolderUnusable: the folder cannot be made, read or written.
        SchemaUnknown: the file is another program's, or a newer footpath's.
    """
    make_folder(folder)
    try:
        connection = _open(folder, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    except apsw.Error as error:
        raise _unusable(folder, error) from error
    with contextlib.closing(connection):
        try:
            with write(connection):
                (version,) = one(connection, "PRAGMA user_version")
                (tables,) = one(connection, "SELECT count(*) FROM sqlite_schema")
                if version == 0 and tables == 0:
                    connection.execute(_SCHEMA)
            _refuse_unknown(connection, folder)
            _migrate(connection)
            _set_up(connection)
        except apsw.Error as error:
            raise _unusable(folder, error) from error


def _migrate(connection: apsw.Connection) -> None:
    """Bring a database of an older schema forward, whole or not at all."""
    connection.create_scalar_function("key_digest", _digest_of_any, 1)
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    if one(connection, "PRAGMA user_version") == (1,):
        connection.execute("VACUUM")  # which did not overwrite what it deleted
    with write(connection):
        (version,) = one(connection, "PRAGMA user_version")
        for number in range(version, SCHEMA_VERSION):
            connection.execute(_STEPS[number - 1] + f"PRAGMA user_version = {number + 1}")


def connect(folder: Path, *, readonly: bool = False) -> apsw.Connection:
    """Open the database of a folder that `prepare` has seen.

    Raises:
        FolderUnusable: there is no database, or it cannot be opened.
        SchemaUnknown: the file is another program's, or a newer or an older footpath's.
    """
    if not (folder / FILE_NAME).exists():
        raise FolderUnusable(f"{folder} is not a footpath data folder: it holds no {FILE_NAME}")
    try:
        connection = _open(folder, apsw.SQLITE_OPEN_READWRITE)
        _refuse_unknown(connection, folder)
        _refuse_older(connection, folder)
        _set_up(connection)
        if readonly:
            connection.execute("PRAGMA query_only = ON")
    except apsw.Error as error:
        raise _unusable(folder, error) from error
    return connection


def _open(folder: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(folder / FILE_NAME), flags=flags)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection


def _set_up(connection: apsw.Connection) -> None:
    """Make a connection durable; only once the database is known to be ours, for it writes the journal mode."""
    settings = connection.execute(
        f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
        "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = ON"
    )
    settings.fetchall()  # apsw goes on to the next statement only when a row that one gave is taken


def _refuse_unknown(connection: apsw.Connection, folder: Path) -> None:
    (application,) = one(connection, "PRAGMA application_id")
    (version,) = one(connection, "PRAGMA user_version")
    if application != APPLICATION_ID:
        raise SchemaUnknown(f"{folder / FILE_NAME} is not footpath's: choose another folder with --data")
    if version > SCHEMA_VERSION:
        raise SchemaUnknown(
            f"{folder} was written by a newer footpath (schema {version}, this one knows {SCHEMA_VERSION}): "
            "upgrade with pip install --upgrade footpath"
        )


def _refuse_older(connection: apsw.Connection, folder: Path) -> None:
    """Leave what `prepare` has not brought forward: a command that reads must not change what an older one may use."""
    (version,) = one(connection, "PRAGMA user_version")
    if version < SCHEMA_VERSION:
        raise SchemaUnknown(
            f"{folder} was written by an older footpath (schema {version}, this one needs {SCHEMA_VERSION}):"
            " start `footpath serve` of this version on it, which brings it forward"
        )


def _unusable(folder: Path, error: apsw.Error) -> FolderUnusable | SchemaUnknown:
    if isinstance(error, apsw.NotADBError):
        return SchemaUnknown(f"{folder / FILE_NAME} is not a SQLite database: choose another folder with --data")
    full = "; the disk is full: free some space, then start again"
    hint = full if shutil.disk_usage(folder).free < STARTING_BYTES else ""
    return FolderUnusable(f"cannot open the database in {folder}: {error}{hint}")


def one(connection: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """The single row that a statement gives."""
    row: tuple[Any, ...] | None = next(iter(connection.execute(sql, bindings)), None)
    if row is None:
        raise LookupError(f"no row from {sql}")
    return row


def key_digest(key: str) -> bytes:
    """What is kept of an Idempotency-Key: it may name a user, who can be forgotten while it is not."""
    return hashlib.sha256(key.encode()).digest()


def _digest_of_any(*key: object) -> bytes:
    return key_digest(str(key[0]))


def set_keep(folder: Path, keep: int | None) -> None:
    """Note for how many microseconds after its time an action is kept; None is for ever.

    It stands in the database, so that whoever reads the folder, server or command, leaves out the same.
    """
    with contextlib.closing(connect(folder)) as connection:
        (before,) = one(connection, "SELECT keep FROM state")
        if before != keep:
            with write(connection):
                connection.execute("UPDATE state SET keep = ?", (keep,))


@contextlib.contextmanager
def write(connection: apsw.Connection) -> Iterator[None]:
    """A write transaction: durable when the block is left, undone when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """A read transaction: every statement in the block sees the same state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")

"""Where keys are kept: the table `keys`, and `state.keys_version`, which moves with every change of it.

A name belongs to one key for ever, so that what a log says of it stays true. A key is never deleted: it expires or is
revoked, and a folder that has had a key asks for one from then on.
"""

from typing import Any

import apsw
from msgspec import convert, json

from footpath import database
from footpath.errors import CommandFailed
from footpath.keys.key import Key, digest, draw

_COLUMNS = Key.__struct_fields__
_MOVE = "UPDATE state SET keys_version = keys_version + 1"


def create(connection: apsw.Connection, key: Key) -> str:
    """Keep a new key; the key itself, which cannot be had again.

    Raises:
        CommandFailed: the name is taken.
    """
    secret = draw(key.role)
    origins = json.encode(key.origins).decode()
    row = (key.name, key.role, digest(secret.encode()), origins, key.rate, key.created_at, key.expires_at)
    with database.write(connection):
        if (1,) in connection.execute("SELECT 1 FROM keys WHERE name = ?", (key.name,)):
            raise CommandFailed(f"there is, or was, a key named {key.name}; choose another --name")
        connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)
        connection.execute(_MOVE)
    return secret


def revoke(connection: apsw.Connection, name: str, now: int) -> int:
    """Make a key good for nothing; when it was revoked, which may have been before.

    Raises:
        CommandFailed: there is no such key.
    """
    with database.write(connection):
        connection.execute("UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (now, name))
        if connection.changes():
            connection.execute(_MOVE)
        found = next(iter(connection.execute("SELECT revoked_at FROM keys WHERE name = ?", (name,))), None)
    if found is None:
        raise CommandFailed(f"there is no key named {name[:80]}; see footpath key list")
    return int(found[0])


def version(connection: apsw.Connection) -> int:
    """The number that moves with every change."""
    return int(database.one(connection, "SELECT keys_version FROM state")[0])


def load(connection: apsw.Connection) -> tuple[int, list[tuple[Key, bytes]]]:
    """The version, and all keys with their digests in the order of their making, as they are at one moment."""
    sql = f"SELECT digest, {', '.join(_COLUMNS)} FROM keys ORDER BY created_at, name"
    with database.snapshot(connection):
        return version(connection), [(_key(row), at) for at, *row in connection.execute(sql)]


def _key(row: list[Any]) -> Key:
    found = dict(zip(_COLUMNS, row, strict=True))
    return convert(found | {"origins": json.decode(found["origins"])}, Key)

"""Which users and sessions a part may hold, so that a read opens few parts.

A user's path is in a few parts of all runs, a session in one or two: the time of a short read is that of the parts it
opens. So each part has a sorted array of 32-bit digests of its user ids and session ids, kept in the table `members`
beside the catalog: 4 bytes for each, a quarter of a byte an action with sessions of 20 actions. An id that is not in a
part is taken to be in it once in 2^32 / ids of the part: a part is opened in vain, no more.

A part without a row in `members` may hold anything.
"""

import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence

import apsw
import duckdb

from footpath.store.base import Part

_DIGESTS = """
SELECT DISTINCT CAST(md5_number_lower(kind || id) % 4294967296 AS UINTEGER) AS digest
FROM (SELECT DISTINCT 'u' AS kind, user_id AS id FROM read_parquet($file, hive_partitioning = false)
      UNION ALL SELECT DISTINCT 's', session_id FROM read_parquet($file, hive_partitioning = false))
ORDER BY digest
"""


def of_file(connection: duckdb.DuckDBPyConnection, pattern: str) -> bytes:
    """The members of a part's file, as `members` keeps them: sorted 32-bit numbers, little-endian."""
    digests = array("I", [row[0] for row in connection.execute(_DIGESTS, {"file": pattern}).fetchall()])
    if sys.byteorder == "big":
        digests.byteswap()
    return digests.tobytes()


def digest(kind: str, name: str) -> int:
    """The digest of a user id (kind `u`) or a session id (kind `s`)."""
    return int.from_bytes(hashlib.md5((kind + name).encode(), usedforsecurity=False).digest()[8:12], "little")


def holds(members: bytes, wanted: int) -> bool:
    """Whether a digest is among those of a part."""
    digests = array("I")
    digests.frombytes(members)
    if sys.byteorder == "big":
        digests.byteswap()
    place = bisect_left(digests, wanted)
    return place < len(digests) and digests[place] == wanted


def narrow(
    connection: apsw.Connection, parts: Sequence[Part], *, user_id: str | None, session_id: str | None
) -> list[Part]:
    """Those of some parts that may hold a user and a session, out of an open transaction."""
    wanted = [digest(kind, name) for kind, name in (("u", user_id), ("s", session_id)) if name is not None]
    if not wanted or not parts:
        return list(parts)
    found = []
    for part in parts:
        row = next(iter(connection.execute("SELECT digests FROM members WHERE part_id = ?", (part.id,))), None)
        if row is None or all(holds(row[0], number) for number in wanted):
            found.append(part)
    return found

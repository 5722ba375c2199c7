"""The keys of a folder, as a server process holds them: found in a microsecond, and never long out of date.

fresh     The version of the keys is asked for when a request comes and the last look is `LOOK_SECONDS` ago; all keys
          only when it has moved. An idle server reads nothing.
unknown   A key that is not known makes it look at once, in case it was created a moment ago, but not more often than
          every `RECHECK_SECONDS`: guessing must not become work.
time      Keys are found by the first 8 bytes of their sha256, and compared by all 32 in constant time. How long that
          takes says nothing of a key: who could use what it says of a hash would have to find what hashes to it.
          A key that was good is found again by itself in a dictionary, which saves the hash. That compares bytes only
          where Python's own hash of them is the same 64 bits, seeded at random in each process: by that time it is
          the key. It holds no more entries than there are keys, in memory only, and starts anew with each change.
expiry    by the clock, at each request.
failure   While the keys cannot be read the ring answers from what it knows, for `BLIND_SECONDS`; then it refuses, since
          a key may have been revoked.
open      A folder that has never had a key asks for none, where only this machine can reach the server. Elsewhere, and
          when all keys have been revoked or have expired, nothing opens.

Belongs to one thread: that of the event loop.
"""

import time
from collections.abc import Callable
from hmac import compare_digest
from math import inf

from footpath.errors import ReadFailed, Unauthorized
from footpath.keys.grant import Grant
from footpath.keys.key import Key, Role, digest, is_well_formed
from footpath.keys.source import KeySource

LOOK_SECONDS = 0.25  # a key that was revoked is refused this soon: `footpath key revoke` waits for as long
RECHECK_SECONDS = 0.05  # 20 looks a second at most, of 10 us each
BLIND_SECONDS = 5.0  # as long as SQLite waits for a lock
_PREFIX = 8  # bytes
_ANY = "*"  # stands for every origin; none is written so
_ANYWHERE: dict[Role, tuple[str, ...]] = {"write": (_ANY,), "read": (), "admin": ()}


class Ring:
    """The keys of a server."""

    def __init__(
        self,
        source: KeySource,
        *,
        is_private: bool,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the keys.

        Args:
            source: where they are kept; it is closed with the ring.
            is_private: only this machine can reach the server, so that without any key none is asked for.
            monotonic: the clock of looks and rates.
            clock: the clock of expiry, in seconds since 1970.
        """
        self._source = source
        self._is_private = is_private
        self._monotonic = monotonic
        self._clock = clock
        self._grants: dict[bytes, list[tuple[bytes, Grant]]] = {}
        self._by_origin: dict[str, list[Grant]] = {}
        self._known: dict[bytes, Grant] = {}
        self._version = -1
        self.is_open = False
        """Whether no key is asked for."""
        self._looked_at = self._next_look = self._next_recheck = 0.0
        self._load()
        self._looked(monotonic())

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def refresh(self) -> None:
        """Bring the ring up to date, first thing at each request.

        Raises:
            ReadFailed: the keys could not be read for too long.
        """
        now = self._monotonic()
        if now >= self._next_look:
            self._look(now)

    def find(self, secret: bytes) -> Grant:
        """What a key allows.

        Raises:
            Unauthorized: it is not a key of this folder, has expired or was revoked; the message does not hold it.
            ReadFailed: see `refresh`.
        """
        grant = self._known.get(secret)
        if grant is None:
            grant = self._search(secret)
        self.make_sure(grant)
        return grant

    def make_sure(self, grant: Grant) -> None:
        """Whether the time of a key is not over.

        Raises:
            Unauthorized: it is.
        """
        if grant.expires_at is not inf and self._clock() >= grant.expires_at:
            raise Unauthorized(f"the key {grant.key.name!r} has expired; ask whoever runs this server for another")

    def keys(self) -> list[Key]:
        """The keys as they were last read, by name."""
        found = (grant.key for group in self._grants.values() for _, grant in group)
        return sorted(found, key=lambda key: key.name)

    def shares(self, role: Role, origin: str) -> bool:
        """Whether some live key lets pages of an origin read the answers of a route of a role (CORS)."""
        now = self._clock()
        return any(
            now < grant.expires_at and grant.shares(role, origin)
            for group in (origin, _ANY)
            for grant in self._by_origin.get(group, ())
        )

    def _search(self, secret: bytes) -> Grant:
        if not is_well_formed(secret):
            raise Unauthorized("this is not a key; one looks like fp_write_… and is 40 characters or so")
        wanted = digest(secret)
        grant = self._match(wanted)
        if grant is None:
            now = self._monotonic()
            if now >= self._next_recheck:
                self._look(now)
                grant = self._match(wanted)
        if grant is None:
            raise Unauthorized("the key is not known here; was it created in this server's --data?")
        if grant.key.revoked_at is not None:
            raise Unauthorized(f"the key {grant.key.name!r} was revoked; ask whoever runs this server for another")
        self._known[secret] = grant
        return grant

    def _match(self, wanted: bytes) -> Grant | None:
        for at, grant in self._grants.get(wanted[:_PREFIX], ()):
            if compare_digest(at, wanted):
                return grant
        return None

    def _look(self, now: float) -> None:
        self._next_recheck = now + RECHECK_SECONDS
        try:
            if self._source.version() != self._version:
                self._load()
        except ReadFailed:
            if now - self._looked_at > BLIND_SECONDS:
                raise
            self._next_look = now + RECHECK_SECONDS
        else:
            self._looked(now)

    def _looked(self, now: float) -> None:
        self._looked_at = now
        self._next_look = now + LOOK_SECONDS

    def _load(self) -> None:
        version, rows = self._source.load()
        buckets = {grant.key.name: grant.bucket for found in self._grants.values() for _, grant in found}
        for found in self._grants.values():
            for _, grant in found:
                grant.is_old = True
        self._grants, self._by_origin = {}, {}
        self._known.clear()
        for key, at in rows:
            grant = Grant(key, bucket=buckets.get(key.name), monotonic=self._monotonic)
            self._grants.setdefault(at[:_PREFIX], []).append((at, grant))
            if key.revoked_at is None:
                for origin in key.origins or _ANYWHERE[key.role]:
                    self._by_origin.setdefault(origin, []).append(grant)
        self._version = version
        self.is_open = self._is_private and not rows

"""What a key allows in one server process: a role, origins, an end, and a rate.

The rate is a bucket of actions that fills as time goes by. A request goes through while the bucket is not empty and
takes out all actions that it holds, even more than are in it; the debt is waited off by the next ones. So a request
that is larger than the bucket is not refused for ever, and over time the rate holds exactly.

The rate is of one process: with `--workers N` a key may reach N times it, when its connections are spread over all. To
divide it by N would refuse a sender with one connection at an Nth of what it was promised.
"""

import time
from collections.abc import Callable
from math import inf
from typing import Final

from footpath.errors import Forbidden, OverRate
from footpath.keys.key import Key, Role

BURST_SECONDS = 10.0  # of its rate that a key may send at once: a page that was offline, a queue after a restart


class Bucket:
    """Actions that may be sent now."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, at: float) -> None:
        """A full bucket that gains `rate` actions a second from `at` on."""
        self._rate = rate
        self._burst = self._level = max(rate * BURST_SECONDS, 1.0)
        self._at = at

    @property
    def has_room(self) -> bool:
        """Whether some may be sent for certain; without a look at the clock, by which there can only be more."""
        return self._level > 0

    def take(self, actions: int, at: float) -> float:
        """Take actions out at a time in seconds; the seconds to wait if it is empty, else 0."""
        self._level = min(self._burst, self._level + (at - self._at) * self._rate)
        self._at = at
        if self._level <= 0:
            return max(-self._level / self._rate, 1e-3)
        self._level -= actions
        return 0.0


class Grant:
    """What a key allows; one object a key, for all of its requests in a process."""

    __slots__ = ("_monotonic", "bucket", "expires_at", "is_old", "key", "origins")

    def __init__(
        self, key: Key, *, bucket: Bucket | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow what a key says.

        Args:
            key: the key.
            bucket: that it has used before; a full one if it has a rate and none is given.
            monotonic: the clock of its rate.
        """
        self.key: Final = key
        self.origins: Final = frozenset(key.origins)
        self.expires_at: Final[float] = inf if key.expires_at is None else key.expires_at / 1e6
        self.bucket: Final = Bucket(key.rate, monotonic()) if bucket is None and key.rate is not None else bucket
        self._monotonic: Final = monotonic
        self.is_old = False
        """Whether the keys were read again since: the key may have been revoked, and has a grant of its own if not."""

    def check(self, role: Role, origin: str | None) -> None:
        """Whether it is good for a route of a role, for a request that comes from an origin.

        A write key that is bound to origins must come with one of them. Every POST of a browser carries `Origin`, so
        what carries none is no page; to let it pass would make the binding go away with a header that is left off.
        A browser sends no `Origin` with a GET from the server's own pages: there, only a wrong one is refused.

        Raises:
            Forbidden: its role or its origins do not allow it.
        """
        key = self.key
        if key.role not in (role, "admin"):
            raise Forbidden(f"the key {key.name!r} has the role {key.role}; this needs one with {role} or admin")
        if self.origins and origin not in self.origins:
            if origin is not None:
                raise Forbidden(
                    f"the key {key.name!r} is not for pages of {origin[:120]!r}; it is bound to other origins"
                )
            if key.role == "write":
                raise Forbidden(
                    f"the key {key.name!r} is only for pages of its origins, and the request has no Origin header;"
                    " a program needs a key that was created without --origin"
                )

    def charge(self, actions: int) -> None:
        """Count what a request holds against the rate, before it is stored.

        Raises:
            OverRate: the key has sent more than its rate allows; nothing was counted.
        """
        if self.bucket is not None and (wait := self.bucket.take(actions, self._monotonic())):
            told = f"the key {self.key.name!r} may send {self.key.rate:g} actions a second; send again in {wait:.1f} s"
            raise OverRate(told, wait)

    def make_sure(self) -> None:
        """Whether there is room in the rate at all, before anything is read.

        Raises:
            OverRate: there is none.
        """
        if self.bucket is not None and not self.bucket.has_room:
            self.charge(0)

    def shares(self, role: Role, origin: str) -> bool:
        """Whether pages of an origin may read the answers of a route of a role (CORS)."""
        if role == "write" and self.key.role == "write" and not self.origins:
            return True
        return self.key.role in (role, "admin") and origin in self.origins

    def __repr__(self) -> str:
        return f"<Grant {self.key.role} {self.key.name}>"


OPEN: Final = Grant(Key("", "admin"))
"""What everyone is allowed where no key is asked for."""

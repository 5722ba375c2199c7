"""What a key is: its form, what is kept of it instead of itself, and the origins that it can be bound to. Pure.

A key is `fp_<role>_` and 32 letters and digits drawn by the operating system: 190 bits, so that nobody guesses one in
the lifetime of the sun. The prefix lets people and secret scanners recognise it. It grants nothing: the role that
counts is the one in the table.

What is kept is the sha256. A slow, salted hash (argon2, bcrypt) protects what people make up, of which there are few
enough to try them all; a random 190 bits are out of reach however fast the hash is, and a slow one would cost 100 ms a
request and be a way to keep a server busy.
"""

import hashlib
import re
import secrets
import string
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from footpath.errors import CommandFailed

Role = Literal["write", "read", "admin"]
ROLES: tuple[Role, ...] = ("write", "read", "admin")
LENGTH = 32  # letters and digits: 5.95 bits each

_ALPHABET = string.ascii_letters + string.digits  # no other sign: a double click selects the key whole
_FORM = re.compile(rb"fp_(write|read|admin)_[A-Za-z0-9]{%d}" % LENGTH)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Key(Struct, frozen=True):
    """A key as it is kept, without the key itself.

    Times are microseconds since 1970 UTC; `rate` is in actions a second, None is no limit.
    """

    name: str
    role: Role
    origins: tuple[str, ...] = ()
    rate: float | None = None
    created_at: int = 0
    expires_at: int | None = None
    revoked_at: int | None = None

    def state(self, now: int) -> Literal["live", "expired", "revoked"]:
        """Whether it is good at a time."""
        if self.revoked_at is not None:
            return "revoked"
        return "live" if self.expires_at is None or now < self.expires_at else "expired"


def draw(role: Role) -> str:
    """A new key."""
    return f"fp_{role}_{''.join([secrets.choice(_ALPHABET) for _ in range(LENGTH)])}"


def is_well_formed(secret: bytes) -> bool:
    """Whether this could be a key at all."""
    return _FORM.fullmatch(secret) is not None


def digest(secret: bytes) -> bytes:
    """What is kept of a key: 32 bytes."""
    return hashlib.sha256(secret).digest()


def read_name(text: str) -> str:
    """The name of a key, which stands in tables, logs and messages.

    Raises:
        CommandFailed: it has other signs than those are made for.
    """
    if not _NAME.fullmatch(text):
        raise CommandFailed(f"--name {text[:80]!r} is not a name; use 1 to 64 of A-Z, a-z, 0-9, dot, dash, underscore")
    return text


def read_origin(text: str) -> str:
    """An origin as browsers write it in `Origin`: scheme://host, with the port where it is not the usual one.

    Raises:
        CommandFailed: it is none, or names more than an origin does.
    """
    wrong = CommandFailed(
        f"--origin {text[:120]!r} is not an origin; write it like https://shop.example or http://localhost:3000,"
        " each one by itself, without path or *"
    )
    try:
        parts = urlsplit(text.strip().lower())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong from error
    host = f"[{host}]" if ":" in host else host
    has_more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if not text.isprintable() or has_more or not _SCHEME.fullmatch(parts.scheme) or not _HOST.fullmatch(host):
        raise wrong
    is_usual = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{port}"

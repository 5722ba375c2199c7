"""Settings: what they are, their defaults with reasons, and the one reader of flags, environment and file.

A setting is taken from the command's flag, else from `FOOTPATH_<NAME>` in the environment, else from the TOML file
that `--config` or `FOOTPATH_CONFIG` names, else from its default. `SETTINGS` lists them all with their doc lines.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from footpath.errors import BadSetting
from footpath.memory import MB, shares

MAX_COUNT = 1_000_000_000_000  # of actions or bytes: more than one machine holds
MAX_DURATION = 1_000_000_000  # seconds or hours: more than anyone waits, and as microseconds still 64 bits
_KEEP = re.compile(r"([0-9]{1,9}) ?([smhdw])", re.IGNORECASE)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MEMORY = re.compile(r"(?=.*[1-9])\d+(\.\d+)? ?[KMGT]i?B", re.IGNORECASE | re.ASCII)  # what DuckDB understands


def _setting(default: object, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, frozen."""

    data: Path = _setting(Path("data"), "the data folder; it is made when it does not exist")
    host: str = _setting("127.0.0.1", "the address to listen on; others than loopback need a key first")
    port: int = _setting(8000, "the port to listen on; 0 picks a free one")
    workers: int = _setting(1, "server processes; one core's worth of requests each, they share the journal")
    flush_seconds: float = _setting(
        8.0, "flush when the oldest journal row is this old: with the flush itself under 10 s"
    )
    flush_actions: int = _setting(150_000, "flush when the journal holds this many actions, before it holds 200,000")
    part_actions: int = _setting(
        65_536, "actions in a part that a merge writes: 1 MB, opened in a third of a millisecond"
    )
    journal_actions: int = _setting(20_000_000, "actions the journal may hold before writes get 503: 2 GB or so")
    waiting_bytes: int = _setting(64 << 20, "bytes of requests that may wait for a commit before writes get 503")
    connections: int = _setting(10_000, "open connections of a process before further ones get 503: 30 KB each or so")
    head_seconds: float = _setting(10.0, "how long a request's line and headers may take: 408 then")
    body_seconds: float = _setting(30.0, "how long a body may take, and a second more for each KB of it: 408 then")
    idle_seconds: float = _setting(15.0, "how long a connection may be open with nothing asked")
    held_bytes: int = _setting(64 << 20, "bytes of bodies that are not whole yet before requests get 503")
    keep: str = _setting("", "how long after its time an action is kept: like 90d, 12h or 2w; empty is for ever")
    forgotten_days: float = _setting(
        30.0, "how long what comes for a forgotten user is refused: longer than clients retry"
    )
    idempotency_hours: float = _setting(48.0, "how long an Idempotency-Key is remembered")
    id_hours: float = _setting(48.0, "how long the id of an action is remembered: 100 bytes of disk each")
    reject_bytes: int = _setting(
        64 << 20, "bytes of rejects that are kept, the newest ones: 250,000 usual ones; 0 keeps none"
    )
    read_seconds: float = _setting(900.0, "the longest a read may take; replaced parts are kept a little longer")
    readers: int = _setting(4, "reads answered at once in a process, long ones at half of that; further ones wait")
    waiting_reads: int = _setting(64, "reads that may wait for that before further ones get 503: a minute's worth")
    tails: int = _setting(2_000, "how many may follow what comes in, a process: /api/tail; further ones get 503")
    slow_read_seconds: float = _setting(5.0, "a read that takes longer is logged: how it was asked, not for whom")
    stalled_seconds: float = _setting(
        30.0,
        "how long a client may take over a megabyte of its answer before it is cut off: it holds a place of `readers`",
    )
    answer_bytes: int = _setting(64 << 20, "bytes of answers that wait for their clients before more get 503")
    read_memory: str = _setting("256MB", "memory DuckDB may use for reads in a process before it spills to disk")
    keeper_memory: str = _setting("256MB", "memory DuckDB may use for each of flush and merge before it spills to disk")
    tracker_path: str = _setting("/footpath.js", "where the tracker of pages is; ad blockers know common names")
    tracker_submit_path: str = _setting("/api/submitlogs", "where the tracker sends to: a second name of submitlogs")
    journal: str = _setting("", "a stream that takes what is submitted, kinesis://STREAM, instead of the data folder")
    find: str = _setting("", "what answers reads then: athena://DATABASE, or trino://HOST:PORT/CATALOG/SCHEMA")
    table: str = _setting("", "the table then, iceberg://CATALOG/NAMESPACE/TABLE, for forgetting; Athena's by default")
    keys: str = _setting("", "the file of hashed keys then, of footpath key export; it is read again when it changes")
    log: str = _setting("auto", "how to log: json, text, or auto (text on a terminal)")


SETTINGS = {item.name: str(item.metadata["doc"]) for item in fields(Settings)}
"""Every setting's name and doc line."""


def read_settings(
    flags: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
    memory: int | None = None,
    *,
    is_server: bool = True,
) -> Settings:
    """Put the settings together.

    Args:
        flags: values given on the command line; None means not given.
        environment: where `FOOTPATH_*` is looked up.
        file: a TOML file with settings as top-level keys.
        memory: bytes that there are, if defaults are to be lowered where that is little.
        is_server: whether what a server must have together is asked for.

    Raises:
        BadSetting: a name is not known or a value does not fit; the message names where it came from.
    """
    found: dict[str, tuple[object, str]] = {}
    if file is None and environment.get("FOOTPATH_CONFIG"):
        file = Path(environment["FOOTPATH_CONFIG"])
    if file is not None:
        found |= {name: (value, f"{name} in {file}") for name, value in _read_file(file).items()}
    for name in SETTINGS:
        variable = f"FOOTPATH_{name.upper()}"
        if variable in environment:
            found[name] = (environment[variable], variable)
    found |= {name: (value, f"--{name.replace('_', '-')}") for name, value in flags.items() if value is not None}
    unknown = sorted(found.keys() - SETTINGS.keys())
    if unknown:
        raise BadSetting(f"{found[unknown[0]][1]}: there is no such setting; known are {', '.join(SETTINGS)}")
    settings = Settings(**{name: _convert(name, value, source) for name, (value, source) in found.items()})
    for name, (value, source) in found.items():
        if name in _RULES and not _RULES[name][0](getattr(settings, name)):
            raise BadSetting(f"{source} is {str(value)!r}; {_RULES[name][1]}")
    if is_server and bool(settings.journal) != bool(settings.find):
        raise BadSetting(
            "--journal and --find go together: a stream and what reads its table, or neither and all in the data folder"
        )
    return settings if memory is None else _within(settings, memory, found)


def _within(settings: Settings, memory: int, chosen: Collection[str]) -> Settings:
    """The settings with the defaults that bound memory lowered to what there is; those that were chosen stay."""
    lowered: dict[str, Any] = {}
    for name, most in shares(memory, settings.workers).items():
        default = getattr(settings, name)
        if name not in chosen and most < in_bytes(default):
            lowered[name] = f"{most // MB}MB" if isinstance(default, str) else most
    return replace(settings, **lowered)


def in_bytes(memory: str | int) -> int:
    """An amount of memory, like 256MB or 1.5 GiB, as DuckDB understands it."""
    if isinstance(memory, int):
        return memory
    number, unit = re.fullmatch(r"([\d.]+) ?([KMGT]I?B)", memory.upper()).groups()  # type: ignore[union-attr]
    return int(float(number) * (1024 if "I" in unit else 1000) ** (" KMGT".index(unit[0])))


_MAY_BE_EMPTY = frozenset(("keep", "journal", "find", "table", "keys"))


def _read_file(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"cannot read the settings file {file}: {error}") from error


def _convert(name: str, value: object, source: str) -> Any:
    wanted = next(item.type for item in fields(Settings) if item.name == name)
    if not str(value) and name not in _MAY_BE_EMPTY:
        raise BadSetting(f"{source} is ''; give it a value, or leave it out: {SETTINGS[name]}")
    try:
        if wanted is Path:
            return Path(str(value))
        if wanted is str:
            return str(value)
        number = float(str(value))
        if wanted is int and number != int(number):
            raise ValueError
        return int(number) if wanted is int else number
    except (ValueError, OverflowError) as error:
        raise BadSetting(f"{source} is {str(value)!r}; {name} must be a number: {SETTINGS[name]}") from error


def keep_micros(keep: str) -> int | None:
    """The setting `keep` in microseconds; None if it is for ever.

    Raises:
        ValueError: it is not a number of seconds, minutes, hours, days or weeks, or nothing, or longer than any.
    """
    if not keep:
        return None
    found = _KEEP.fullmatch(keep)
    seconds = 0 if found is None else int(found[1]) * _UNIT_SECONDS[found[2].lower()]
    if not 0 < seconds <= MAX_DURATION:
        raise ValueError(keep)
    return seconds * 1_000_000


def _is_keep(keep: str) -> bool:
    try:
        keep_micros(keep)
    except ValueError:
        return False
    return True


def changed(settings: Settings) -> dict[str, object]:
    """The settings that are not their defaults, for people: none of them is a secret."""
    return {
        item.name: str(value) if isinstance(value, Path) else value
        for item in fields(Settings)
        if (value := getattr(settings, item.name)) != item.default
    }


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}", re.ASCII)
_Rule = tuple[Callable[[Any], object], str]
_COUNT: _Rule = (lambda value: 1 <= value <= MAX_COUNT, f"it must be between 1 and {MAX_COUNT:,}")
_DURATION: _Rule = (lambda value: 0 < value <= MAX_DURATION, f"it must be more than 0 and at most {MAX_DURATION:,}")
_IS_MEMORY: _Rule = (_MEMORY.fullmatch, "it must be a number with a unit, like 256MB or 1.5GB")
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("workers", "readers", "waiting_reads", "connections", "tails"), _COUNT),
    **dict.fromkeys(("flush_actions", "part_actions", "journal_actions", "waiting_bytes", "held_bytes"), _COUNT),
    **dict.fromkeys(("flush_seconds", "idempotency_hours", "id_hours", "read_seconds", "stalled_seconds"), _DURATION),
    **dict.fromkeys(("head_seconds", "body_seconds", "idle_seconds", "slow_read_seconds"), _DURATION),
    "forgotten_days": (lambda value: 0 < value <= 36_500, "it must be more than 0 and at most 36,500"),
    **dict.fromkeys(("read_memory", "keeper_memory"), _IS_MEMORY),
    **dict.fromkeys(("tracker_path", "tracker_submit_path"), (_PATH.fullmatch, "it must be a path like /a/b.js")),
    "keep": (_is_keep, "it must be a number with s, m, h, d or w, like 90d, of at most 31 years, or empty"),
    "reject_bytes": (lambda value: 0 <= value <= MAX_COUNT, f"it must be between 0 and {MAX_COUNT:,}"),
    "port": (lambda value: 0 <= value <= 65535, "it must be between 0 and 65535"),
    "log": (lambda value: value in {"auto", "json", "text"}, "it must be auto, json or text"),
}

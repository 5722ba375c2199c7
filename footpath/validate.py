"""Which actions are kept, and why the others are not. Pure.

`accept` is the quick way for batches without a fault; `sort_out` judges each action alone and names its fault. The
codes of rejects, all of them: see `CODES`.
"""

from collections.abc import Callable, Collection, Container, Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, ValidationError
from msgspec.json import Decoder, Encoder

from footpath.action import (
    KNOWN_PROPERTIES,
    MAX_ACTION_BYTES,
    MAX_DEPTH,
    MAX_ID_LENGTH,
    MAX_MICROS,
    MAX_REJECT_BYTES,
    MIN_MICROS,
    NUMBER,
    TYPE_BITS,
    Action,
    Batch,
    Checked,
    Entry,
    LooseBatch,
    Reject,
    RejectRow,
    micros,
)

FORGOTTEN = "user_forgotten"
_FORGOTTEN_MESSAGE = "the user was forgotten; what comes for them is refused until the time that the receipt told"
CODES = {
    "not_an_action": "the action is not a JSON object that can be read",
    "unknown_type": "type is not CLICK, VIEW or NAVIGATE",
    "bad_time": "time is missing or is not RFC 3339 with an offset",
    "bad_properties": "properties is not an object",
    "bad_property": "a known property has the wrong JSON type",
    "bad_id": f"id is not a string of 1 to {MAX_ID_LENGTH} characters",
    "too_deep": f"nested deeper than {MAX_DEPTH}",
    "action_too_large": f"over {MAX_ACTION_BYTES} bytes as JSON",
    FORGOTTEN: "the user was forgotten a while ago, and what comes late for them is not taken in",
}
"""Every code a reject can have, and what it means."""

_OTHER_CASE = 2 * max(TYPE_BITS.values())
_WITH_ID = 2 * _OTHER_CASE


def _kind(name: str) -> tuple[int, str, str, frozenset[type]]:
    """A type's bit, the first and the last of its known properties, and the classes that they may have."""
    known = KNOWN_PROPERTIES[name]
    return TYPE_BITS[name], known[0][0], known[-1][0], frozenset((*known[0][1], type(None)))


_KINDS = {name: _kind(name) for name in TYPE_BITS}
_KINDS |= {
    other: (kind[0] | _OTHER_CASE, *kind[1:]) for name, kind in _KINDS.items() for other in (name.lower(), name.title())
}
_ENCODER = Encoder()


_ABSENT = Raw(b"")


class _Fault(Exception):
    """Why an action is refused: a code of `CODES` and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Parts(Struct):
    """An action taken apart, to find the part that is at fault."""

    time: Raw = _ABSENT
    type: Raw = _ABSENT
    properties: Raw = _ABSENT
    id: Raw = _ABSENT


_PARTS = Decoder(_Parts)
_ACTIONS = Decoder(list[Action])
_TIME = Decoder(datetime)
_OBJECT = Decoder(dict[str, Any])


def accept(batches: Iterable[Batch], *, are_flat: bool = False) -> list[Entry] | None:
    """The entries of batches in which every action is right; None if any is not (then `sort_out` says which).

    Sets each action's type to upper case. `are_flat` says that no property is an object or an array.
    """
    entries = []
    for batch in batches:
        actions = batch.actions
        if not actions:
            continue
        seen = _look(actions)
        if not seen:
            return None
        if seen & _OTHER_CASE:
            for action in actions:
                action.type = action.type.upper()
        encoded = _ENCODER.encode(actions)
        if len(encoded) > MAX_ACTION_BYTES and not _are_small(actions):
            return None
        if not are_flat and len(encoded) > 2 * MAX_DEPTH and not _are_shallow(encoded, actions):  # two brackets a level
            return None
        if len(actions) == 1:
            time_min = time_max = micros(actions[0].time)
        else:
            times = [action.time for action in actions]
            time_min, time_max = micros(min(times)), micros(max(times))
        if time_min < MIN_MICROS or time_max > MAX_MICROS:
            return None
        ids = _ids(actions) if seen & _WITH_ID else None
        types = seen & (_OTHER_CASE - 1)
        entries.append(Entry(batch.userId, batch.sessionId, len(actions), time_min, time_max, types, encoded, ids))
    return entries


def _look(actions: list[Action]) -> int:
    """The bits of the types of actions, with `_OTHER_CASE` and `_WITH_ID` where one has that; 0 if any is not right.

    Both known properties are looked at without a loop, which takes a fifth off the time of all checks.
    """
    seen = 0
    try:
        for action in actions:
            bit, first, last, classes = _KINDS[action.type]
            seen |= bit
            properties = action.properties
            if first in properties and properties[first].__class__ not in classes:
                return 0
            if last in properties and properties[last].__class__ not in classes:
                return 0
            if action.id is not UNSET:
                seen |= _WITH_ID
    except KeyError:
        return 0
    return seen


def _ids(actions: list[Action]) -> list[str | None] | None:
    ids = [action.id if isinstance(action.id, str) else None for action in actions]
    return None if ids.count(None) == len(ids) else ids


def without(entry: Entry, places: Container[int]) -> Entry:
    """The entry without the actions at some places, but not all of them."""
    actions = [action for place, action in enumerate(_ACTIONS.decode(entry.actions)) if place not in places]
    accepted = accept([Batch(entry.user_id, entry.session_id, actions)])
    if not accepted:
        raise AssertionError("what was accepted was then refused, or nothing is left")
    return accepted[0]


def _are_small(actions: list[Action]) -> bool:
    return all(len(_ENCODER.encode(action)) <= MAX_ACTION_BYTES for action in actions)


def _are_shallow(encoded: bytes, actions: list[Action]) -> bool:
    """Whether no action is too deep. The usual batch is settled by a count of its brackets."""
    flat = 1 + 2 * len(actions)  # the array, and for each action itself and its properties
    if encoded.count(b"{") + encoded.count(b"[") <= flat + MAX_DEPTH - 2:
        return True
    return all(_depth(action.properties) < MAX_DEPTH for action in actions)


def _depth(value: object) -> int:
    """How many objects and arrays are nested in a decoded JSON value."""
    depth = 0
    containers = [value]
    while containers := [item for item in containers if isinstance(item, (dict, list))]:
        depth += 1
        containers = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return depth


def sort_out(batches: Iterable[LooseBatch], as_sent: Callable[[bytes], bytes] = bytes) -> Checked:
    """Judge each action alone: the entries of the good ones, a reject for each of the others.

    Args:
        batches: of a request.
        as_sent: gives a raw action as it came, where it was mended to be read.
    """
    entries: list[Entry] = []
    rejects: list[Reject] = []
    rows: list[RejectRow] = []
    sizes = []
    for batch_index, batch in enumerate(batches):
        sizes.append(len(batch.actions))
        good = []
        for action_index, raw in enumerate(batch.actions):
            try:
                good.append(judge(bytes(raw)))
            except _Fault as fault:
                why = fault.code, str(fault)
                rejects.append(Reject(batch_index, action_index, *why))
                sent = as_sent(bytes(raw))
                rows.append(RejectRow(batch.userId, batch.sessionId, *why, len(sent), sent[:MAX_REJECT_BYTES]))
        accepted = accept([Batch(batch.userId, batch.sessionId, good)])
        if accepted is None:
            raise AssertionError("an action that was judged good was then refused")
        entries += accepted
    return Checked(sum(sizes), entries, rejects, rows, sizes)


def refuse_forgotten(checked: Checked, refused: Collection[int]) -> Checked:
    """What is left when the entries at some places are refused because their users were forgotten.

    That is known only when they are to be stored; the places of their actions in the request are found again here.
    """
    if not refused:
        return checked
    rejects = list(checked.rejects)
    bad = {(reject.batch, reject.action) for reject in rejects}
    place = 0
    for batch, size in enumerate(checked.sizes):
        good = [action for action in range(size) if (batch, action) not in bad]
        if good:
            if place in refused:
                rejects += [Reject(batch, action, FORGOTTEN, _FORGOTTEN_MESSAGE) for action in good]
            place += 1
    rejects.sort(key=lambda reject: (reject.batch, reject.action))
    entries = [entry for place, entry in enumerate(checked.entries) if place not in refused]
    return checked._replace(entries=entries, rejects=rejects)


def judge(raw: bytes) -> Action:
    """Decode one action.

    Raises:
        _Fault: why it is refused.
    """
    try:
        parts = _PARTS.decode(raw)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Fault("not_an_action", f"expected an object {{time, type, properties}}, got {_show(raw)}") from error
    kind = _judge_type(parts.type)
    time = _judge_time(parts.time)
    properties = _judge_properties(parts.properties, kind)
    action = Action(time, kind, properties, _judge_id(parts.id))
    size = len(_ENCODER.encode(action))
    if size > MAX_ACTION_BYTES:
        raise _Fault("action_too_large", f"{size} bytes as JSON; at most {MAX_ACTION_BYTES}")
    return action


def _judge_type(raw: Raw) -> str:
    text = _text(raw)
    name = text.upper() if text is not None and text.isascii() else None
    if name not in TYPE_BITS:
        raise _Fault("unknown_type", f"type {_show(raw)} is not one of {', '.join(TYPE_BITS)}")
    return name


def _judge_time(raw: Raw) -> datetime:
    if not bytes(raw):
        raise _Fault("bad_time", "time is missing; send RFC 3339 with an offset, like 2018-10-20T21:37:28-06:00")
    try:
        time = _TIME.decode(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _Fault(
            "bad_time", f"time {_show(raw)} is not RFC 3339 with an offset, like 2018-10-20T21:37:28-06:00"
        ) from error
    if time.tzinfo is None:
        raise _Fault("bad_time", f"time {_show(raw)} has no offset; end it with Z or like -06:00")
    if not MIN_MICROS <= micros(time) <= MAX_MICROS:
        raise _Fault("bad_time", f"time {_show(raw)} leaves the years 0001 to 9999 when it is turned to UTC")
    return time


def _judge_properties(raw: Raw, kind: str) -> dict[str, Any]:
    if not bytes(raw):
        return {}
    try:
        properties = _OBJECT.decode(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise _Fault("bad_properties", f"properties {_show(raw)}: {error}") from error
    except RecursionError as error:
        raise _Fault("too_deep", f"properties are nested deeper than {MAX_DEPTH}") from error
    if _depth(properties) >= MAX_DEPTH:
        raise _Fault("too_deep", f"properties are nested deeper than {MAX_DEPTH}")
    for name, classes in KNOWN_PROPERTIES[kind]:
        value = properties.get(name)
        if value is not None and value.__class__ not in classes:
            wanted = "a number" if classes is NUMBER else "a string"
            raise _Fault(
                "bad_property", f"{name} of a {kind} must be {wanted}, got {_show(msgspec.json.encode(value))}"
            )
    return properties


def _judge_id(raw: Raw) -> str | UnsetType | None:
    if not bytes(raw):
        return UNSET
    if bytes(raw) == b"null":
        return None
    text = _text(raw)
    if text is None or not 1 <= len(text) <= MAX_ID_LENGTH:
        raise _Fault("bad_id", f"id {_show(raw)} is not a string of 1 to {MAX_ID_LENGTH} characters")
    return text


def _text(raw: Raw) -> str | None:
    if not bytes(raw):
        return None
    try:
        return msgspec.json.decode(raw, type=str)
    except (ValidationError, DecodeError, UnicodeDecodeError):
        return None


def _show(raw: Raw | bytes) -> str:
    """The beginning of a piece of JSON, for a message."""
    if not bytes(raw):
        return "(missing)"
    text = bytes(raw).decode("utf-8", "backslashreplace")
    return text if len(text) <= 60 else text[:57] + "..."

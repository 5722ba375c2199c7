"""The pieces of the OpenAPI document that the code itself gives.

Schemas of the msgspec model, parameters of the query, answers of the status table. Written here by hand is only what a
type or a number cannot say; leaves out the routes, which `openapi` puts together of these.
"""

from typing import Any

from msgspec import json

from footpath import action, errors, validate
from footpath.keys.key import Role
from footpath.overview import asked, told
from footpath.query import MAX_LIMIT
from footpath.store.forgetting import Forgotten
from footpath.web import examples, responses
from footpath.web.rejects import DEFAULT_LIMIT, Told
from footpath.web.rejects import MAX_ID as MAX_REJECT_ID
from footpath.web.rejects import MAX_LIMIT as MAX_REJECTS
from footpath.web.submit import Submitted

Json = dict[str, Any]

_ANY_CASE = {name: "".join(f"[{letter}{letter.lower()}]" for letter in name) for name in action.TYPE_BITS}
_KNOWN = "; ".join(
    f"{', '.join(f'`{key}`' for key, _ in known)} of a {kind} must be "
    + ("a number" if known[0][1] is action.NUMBER else "a string")
    for kind, known in action.KNOWN_PROPERTIES.items()
)
_FIELDS: dict[tuple[str, str], Json] = {
    ("Batch", "userId"): {"description": "Who did it.", "examples": ["ABC123XYZ"]},
    ("Batch", "sessionId"): {"description": "In which of their sessions.", "examples": ["XYZ456ABC"]},
    ("Batch", "actions"): {
        "description": f"What they did, in any order; at most {action.MAX_ACTIONS:,} in a request. May be empty.",
    },
    ("Action", "time"): {
        "description": "When: RFC 3339 with an offset, to the microsecond. The offset is kept and given back.",
        "examples": ["2018-10-20T21:37:28-06:00"],
    },
    ("Action", "type"): {
        "description": f"One of {', '.join(action.TYPE_BITS)}, in any case; given back in upper case.",
        "pattern": f"^({'|'.join(_ANY_CASE.values())})$",
        "examples": list(action.TYPE_BITS),
    },
    ("Action", "properties"): {
        "description": f"What else is known of it; any JSON object. When they are there and not null, {_KNOWN}.",
        "examples": [{"locationX": 52, "locationY": 11}],
    },
    ("Action", "id"): {
        "description": "Your own id of the action. The same id of the same user is stored once while the server"
        " remembers it, 48 hours if nothing else was set (`id_hours`): so an action may be sent again in any request.",
        "examples": ["a-1"],
    },
    ("Reject", "batch"): {"description": "Place of its batch in the request, from 0.", "minimum": 0},
    ("Reject", "action"): {"description": "Place of the action in its batch, from 0.", "minimum": 0},
    ("Reject", "code"): {
        "description": "Why, for programs: "
        + "; ".join(f"`{code}`: {meaning}" for code, meaning in validate.CODES.items())
        + ".",
        "enum": list(validate.CODES),
    },
    ("Reject", "message"): {"description": "Why, for people."},
    ("Submitted", "message"): {"description": "Always the same word.", "const": "submitted"},
    ("Submitted", "accepted"): {"description": "How many actions are durable now.", "minimum": 0},
    ("Submitted", "duplicates"): {"description": "How many were there before.", "minimum": 0},
    ("Submitted", "rejected"): {"description": "The actions that were skipped; the others are kept."},
    ("Forgotten", "userId"): {"description": "Whom."},
    ("Forgotten", "actions"): {"description": "How many of their actions there were.", "minimum": 0},
    ("Forgotten", "partsRewritten"): {"description": "How many files held them.", "minimum": 0},
    ("Forgotten", "rejects"): {"description": "How many of their refused actions were kept.", "minimum": 0},
    ("Forgotten", "actionIds"): {"description": "How many ids of their actions were remembered.", "minimum": 0},
    ("Forgotten", "until"): {"description": "Until when what comes for them is refused; null if it is not."},
    ("Told", "id"): {"description": "Its number: it rises in the order they came.", "minimum": 1},
    ("Told", "at"): {"description": "When it came, in UTC.", "format": "date-time"},
    ("Told", "userId"): {"description": "Whose batch it was in."},
    ("Told", "sessionId"): {"description": "In which of their sessions."},
    ("Told", "code"): {"description": "Why it was refused, as in `Reject`.", "enum": list(validate.CODES)},
    ("Told", "message"): {"description": "Why, for people."},
    ("Told", "length"): {"description": "Bytes of the action as it was sent.", "minimum": 0},
    ("Told", "isCut"): {"description": f"Whether only its first {action.MAX_REJECT_BYTES >> 10} KiB were kept."},
    ("Told", "raw"): {"description": "The action as it was sent; bytes that are not UTF-8 as `\\xNN`."},
    ("Session", "userId"): {"description": "Whose."},
    ("Session", "sessionId"): {"description": "Which."},
    ("Session", "start"): {"description": "When the first of its actions was, in UTC.", "format": "date-time"},
    ("Session", "end"): {"description": "When the last of them was, in UTC.", "format": "date-time"},
    ("Session", "utcOffset"): {"description": "Of the user's clock at its first action: minutes east of UTC."},
    ("Session", "actions"): {"description": "How many there are.", "minimum": 1},
    ("Session", "clicks"): {"description": "How many are of type CLICK.", "minimum": 0},
    ("Session", "views"): {"description": "How many are of type VIEW.", "minimum": 0},
    ("Session", "navigations"): {"description": "How many are of type NAVIGATE.", "minimum": 0},
    ("Session", "firstPage"): {
        "description": "The page of the first action that names one: `page` of a click or view, `pageFrom` of a"
        " navigation, or `pageTo` if it has only that. Null if none does.",
    },
    ("Session", "lastPage"): {
        "description": "The page of the last action that names one, as above but with `pageTo` before `pageFrom`.",
    },
    ("Sessions", "sessions"): {"description": "They are by when they ended, those that ended together by id."},
    ("Count", "time"): {"description": "When the bucket begins, in UTC.", "format": "date-time"},
    ("Count", "CLICK"): {"description": "Clicks in it.", "minimum": 0},
    ("Count", "VIEW"): {"description": "Views in it.", "minimum": 0},
    ("Count", "NAVIGATE"): {"description": "Navigations in it.", "minimum": 0},
    ("Counts", "bucket"): {"description": "How long a bucket is.", "enum": list(told.ISO.values())},
    ("Counts", "counts"): {"description": "In the order of time."},
    ("Cell", "x"): {"description": "Its column, from 0 at the left.", "minimum": 0, "maximum": asked.GRID - 1},
    ("Cell", "y"): {"description": "Its row, from 0 at the top.", "minimum": 0, "maximum": asked.GRID - 1},
    ("Cell", "count"): {"description": "Clicks in it.", "minimum": 1},
    ("Clicks", "page"): {"description": "The page, as it was asked for."},
    ("Clicks", "columns"): {"description": "Columns of the grid."},
    ("Clicks", "rows"): {"description": "Rows of the grid."},
    ("Clicks", "clicks"): {"description": "All clicks on the page.", "minimum": 0},
    ("Clicks", "unplaced"): {
        "description": "How many of them are in no cell, because they do not say where on the page they were.",
        "minimum": 0,
    },
    ("Clicks", "cells"): {"description": "Row by row."},
    ("Flow", "from"): {"description": "The page they left."},
    ("Flow", "to"): {"description": "The page they went to."},
    ("Flow", "count"): {"description": "How often.", "minimum": 1},
    ("Flows", "flows"): {"description": "The most frequent first, then by page."},
    ("Flows", "others"): {
        "description": "Navigations in the time range beside those: less frequent ones, and those without both pages.",
        "minimum": 0,
    },
    ("Failure", "code"): {"description": "For programs; it does not change."},
    ("Failure", "message"): {"description": "For people: what is wrong, and the next step."},
    ("Line", "seq"): {
        "description": "The number that footpath gave the action: it rises in the order of acceptance.",
        "minimum": 1,
    },
    ("Line", "receivedAt"): {"description": "When footpath accepted it, in UTC.", "format": "date-time"},
}
"""What the model cannot say of the fields of its schemas."""


def ref(name: str, kind: str = "schemas") -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schemas() -> Json:
    """All schemas, by name."""
    overviews = (told.Sessions, told.Counts, told.Clicks, told.Flows)
    types = (action.Batch, action.Action, action.Reject, Submitted, Forgotten, Told, *overviews, responses.Failure)
    _, made = json.schema_components(types, ref_template="#/components/schemas/{name}")
    found = made["Action"]["properties"]
    made["Line"] = {
        "title": "Line",
        "description": "One action of a flat answer, with the ids of its batch.",
        "type": "object",
        "properties": {
            **{name: made["Batch"]["properties"][name] for name in ("userId", "sessionId")},
            **{name: dict(found[name]) for name in ("time", "type", "properties", "id")},
            "seq": {"type": "integer"},
            "receivedAt": {"type": "string"},
        },
        "required": ["userId", "sessionId", "time", "type", "properties", "seq", "receivedAt"],
    }
    for (schema, name), said in _FIELDS.items():
        made[schema]["properties"][name] |= said
    for name in ("time", "properties", "id"):
        made["Line"]["properties"][name] |= _FIELDS["Action", name]
    made["Line"]["properties"]["type"] |= {"enum": list(action.TYPE_BITS), "description": "In upper case."}
    return dict(made)


def parameter(name: str, description: str, schema: Json, example: str | int, **more: Any) -> Json:
    """A parameter of a query string."""
    return {"name": name, "in": "query", "description": description, "schema": schema, "example": example, **more}


_ID = {"type": "string", "minLength": 1, "maxLength": action.MAX_ID_LENGTH}
_NAMES = [name.lower() for name in action.TYPE_BITS]
PARAMETERS = {
    item["name"]: item
    for item in (
        parameter("userId", "Only of this user; exactly this text.", _ID, "ABC123XYZ"),
        parameter("sessionId", "Only of this session; exactly this text.", _ID, "XYZ456ABC"),
        parameter(
            "logType",
            f"Only of this type: {', '.join(_NAMES)}, in any case. Repeat it for several.",
            {"type": "array", "items": {"type": "string", "pattern": f"^({'|'.join(_ANY_CASE.values())})$"}},
            "click",
            explode=True,
        ),
        parameter(
            "fromTime",
            "Not before this: RFC 3339, or without an offset (UTC), or a date (its beginning). Needs `toTime`.",
            {"type": "string"},
            "2018-10-20T21:37:28-06:00",
        ),
        parameter(
            "toTime", "Not after this; a date means its end. Needs `fromTime`.", {"type": "string"}, "2018-10-21"
        ),
        parameter(
            "limit",
            f"At most this many actions, up to {MAX_LIMIT:,}; `Link` then leads to the rest.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            1000,
        ),
        parameter(
            "cursor",
            "Where a page goes on: take it from `Link` as it is, with the other parameters unchanged.",
            {"type": "string"},
            "WzE1NDAwOTMwNDgwMDAwMDAsMSwzLCI0NzE2ZmJkOWJhZGEiXQ",
        ),
        parameter("order", "By time: oldest or newest first.", {"enum": ["asc", "desc"], "default": "asc"}, "desc"),
    )
}
REJECT_PARAMETERS = {
    item["name"]: item
    for item in (
        parameter("userId", "Only of this user; exactly this text.", _ID, "ABC123XYZ"),
        parameter("code", "Only those refused with this code.", {"enum": list(validate.CODES)}, "unknown_type"),
        parameter(
            "after",
            "Only with a higher `id` than this.",
            {"type": "integer", "minimum": 0, "maximum": MAX_REJECT_ID, "default": 0},
            17,
        ),
        parameter(
            "limit",
            "At most this many; `Link` then leads to the rest.",
            {"type": "integer", "minimum": 1, "maximum": MAX_REJECTS, "default": DEFAULT_LIMIT},
            100,
        ),
    )
}
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "headerKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, for what cannot."},
    "queryKey": {
        "type": "apiKey",
        "in": "query",
        "name": "key",
        "description": "Only for writing, for `navigator.sendBeacon`: addresses end up in logs and histories.",
    },
}
"""The ways to send a key."""
USER: Json = {
    "name": "userId",
    "in": "path",
    "required": True,
    "description": "Whom; exactly this text, percent-encoded.",
    "schema": _ID,
    "example": "ABC123XYZ",
}
FORGET_PARAMETERS = [
    parameter(
        "before",
        "Only actions with a time before this one, and rejects received before it; nothing is refused afterwards.",
        {"type": "string"},
        "2026-01-01",
    ),
    parameter(
        "allowReturn",
        "Whether what comes for them from now on is taken in. Not together with `before`.",
        {"enum": ["true", "false"], "default": "false"},
        "true",
    ),
]
HEADERS: Json = {
    "Idempotent-Replayed": {
        "description": "Only there when this is the answer to an earlier request with the same Idempotency-Key.",
        "schema": {"const": "true"},
        "example": "true",
    },
    "Retry-After": {
        "description": "Seconds to wait before sending the same again.",
        "schema": {"type": "integer"},
        "example": int(responses.RETRY_AFTER),
    },
    "Link": {
        "description": "The address of the next page. Not there on the last page, nor without `limit`.",
        "schema": {"type": "string"},
        "example": '</api/retrievelogs?userId=ABC123XYZ&limit=1&cursor=WzE1N>; rel="next"',
    },
    "Allow": {"description": "The methods that the path has.", "schema": {"type": "string"}},
}


def needs(role: Role | None) -> Json:
    """What a route says of the keys that it takes; without a role it takes none."""
    ways = [] if role is None else [name for name in SECURITY if name != "queryKey" or role == "write"]
    return {"security": [{name: []} for name in ways]}


def failures(kinds: tuple[type[errors.FootpathError], ...]) -> Json:
    """The answers for some errors, by status."""
    answers: Json = {}
    for status in sorted({responses.STATUS[kind] for kind in kinds}):
        same = [kind for kind in kinds if responses.STATUS[kind] == status]
        answers[str(status)] = failure({kind.code: str(kind.__doc__) for kind in same})
        if any(kind.retry for kind in same):
            answers[str(status)]["headers"] = {"Retry-After": ref("Retry-After", "headers")}
    return answers


def failure(meanings: dict[str, str]) -> Json:
    """The answer for some codes of one status, each with what it means."""
    return {
        "description": "\n\n".join(f"`{code}`: {meaning}" for code, meaning in meanings.items()),
        "content": {
            "application/json": {
                "schema": {"allOf": [ref("Failure"), {"properties": {"code": {"enum": list(meanings)}}}]},
                "examples": {code: {"value": {"code": code, "message": examples.MESSAGES[code]}} for code in meanings},
            }
        },
    }


def not_allowed(methods: str) -> Json:
    """The answer to any other than these methods."""
    answer = failure({"method_not_allowed": f"The path takes {methods}."})
    return {"405": answer | {"headers": {"Allow": ref("Allow", "headers")}}}

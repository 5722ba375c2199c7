"""The examples of the OpenAPI document and of its page: requests that work as they stand, and what answers them.

`ORIGIN` stands for the address of the server; the page puts its own there.
"""

import json
from typing import Any

ORIGIN = "http://127.0.0.1:8000"

_ACTIONS = [
    {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"locationX": 52, "locationY": 11}},
    {"time": "2018-10-20T21:37:30-06:00", "type": "VIEW", "properties": {"viewedId": "FDJKLHSLD"}},
    {
        "time": "2018-10-20T21:37:30-06:00",
        "type": "NAVIGATE",
        "properties": {"pageFrom": "communities", "pageTo": "inventory"},
    },
]
_BATCH = {"userId": "ABC123XYZ", "sessionId": "XYZ456ABC", "actions": _ACTIONS}
_HALF_BAD = _BATCH | {"actions": [_ACTIONS[0], _ACTIONS[1] | {"type": "HOVER"}]}

SUBMIT: dict[str, Any] = {
    "batches": {"summary": "An array of batches.", "value": [_BATCH]},
    "batch": {"summary": "One batch.", "value": _BATCH},
    "half_bad": {"summary": "The second action is skipped.", "value": [_HALF_BAD]},
}
SUBMITTED: dict[str, Any] = {
    "all": {
        "summary": "All were accepted.",
        "value": {"message": "submitted", "accepted": 3, "duplicates": 0, "rejected": []},
    },
    "some": {
        "summary": "One was skipped.",
        "value": {
            "message": "submitted",
            "accepted": 1,
            "duplicates": 0,
            "rejected": [
                {
                    "batch": 0,
                    "action": 1,
                    "code": "unknown_type",
                    "message": 'type "HOVER" is not one of CLICK, VIEW, NAVIGATE',
                }
            ],
        },
    },
}
FOUND: dict[str, Any] = {"summary": "The path of a user.", "value": [_BATCH]}
LINE: dict[str, Any] = {
    "userId": "ABC123XYZ",
    "sessionId": "XYZ456ABC",
    **_ACTIONS[1],
    "seq": 2,
    "receivedAt": "2026-11-02T08:15:30.25Z",
}
CSV = (
    "userId,sessionId,time,type,properties,id,seq,receivedAt\r\n"
    'ABC123XYZ,XYZ456ABC,2018-10-20T21:37:30-06:00,VIEW,"{""viewedId"":""FDJKLHSLD""}",,2,2026-11-02T08:15:30.25Z\r\n'
)

SUBMIT_CURL = (
    (
        "Hand in three actions",
        f"curl {ORIGIN}/api/submitlogs --json '[\n"
        '  {"userId": "ABC123XYZ", "sessionId": "XYZ456ABC", "actions": [\n'
        + ",\n".join(f"    {json.dumps(action)}" for action in _ACTIONS)
        + "\n  ]}\n]'",
    ),
    (
        "Send a file, compressed, so that sending it twice stores it once",
        f"""gzip -c actions.json | curl {ORIGIN}/api/submitlogs \\
  -H 'Content-Encoding: gzip' -H 'Idempotency-Key: 7d9f2c1e-order-page-0001' --data-binary @-""",
    ),
)
RETRIEVE_CURL = (
    ("The path of a user", f"curl '{ORIGIN}/api/retrievelogs?userId=ABC123XYZ'"),
    (
        "Clicks and views of a day, as lines",
        f"""curl -H 'Accept: application/x-ndjson' \\
  '{ORIGIN}/api/retrievelogs?logType=click&logType=view&fromTime=2018-10-21&toTime=2018-10-21'""",
    ),
    (
        "The newest ten, and the address of the next ten",
        f"curl -i '{ORIGIN}/api/retrievelogs?userId=ABC123XYZ&order=desc&limit=10'",
    ),
    (
        "Everything of a year, as a Parquet file",
        f"""curl -H 'Accept: application/vnd.apache.parquet' -o 2018.parquet \\
  '{ORIGIN}/api/retrievelogs?fromTime=2018-01-01&toTime=2018-12-31'""",
    ),
)
OVERVIEWS: dict[str, Any] = {
    "Sessions": {
        "sessions": [
            {
                "userId": "ABC123XYZ",
                "sessionId": "XYZ456ABC",
                "start": "2018-10-21T03:37:28Z",
                "end": "2018-10-21T03:37:30Z",
                "utcOffset": -360,
                "actions": 3,
                "clicks": 1,
                "views": 1,
                "navigations": 1,
                "firstPage": "communities",
                "lastPage": "inventory",
            }
        ]
    },
    "Counts": {"bucket": "PT15M", "counts": [{"time": "2018-10-21T03:30:00Z", "CLICK": 1, "VIEW": 1, "NAVIGATE": 1}]},
    "Clicks": {
        "page": "inventory",
        "columns": 50,
        "rows": 50,
        "clicks": 4,
        "unplaced": 1,
        "cells": [{"x": 2, "y": 0, "count": 2}, {"x": 31, "y": 7, "count": 1}],
    },
    "Flows": {"flows": [{"from": "communities", "to": "inventory", "count": 1}], "others": 0},
}
OVERVIEW_CURL = {
    "Sessions": (("The last twenty sessions of a user", f"curl '{ORIGIN}/api/sessions?userId=ABC123XYZ&limit=20'"),),
    "Counts": (
        ("A day in quarters of an hour", f"curl '{ORIGIN}/api/counts?fromTime=2018-10-21&toTime=2018-10-21'"),
        ("What one user did, by days", f"curl '{ORIGIN}/api/counts?userId=ABC123XYZ&bucket=day'"),
    ),
    "Clicks": (
        (
            "A week of clicks on a page",
            f"curl '{ORIGIN}/api/clicks?page=inventory&fromTime=2018-10-15&toTime=2018-10-21&columns=50&rows=50'",
        ),
    ),
    "Flows": (
        (
            "The twenty ways most gone in a day",
            f"curl '{ORIGIN}/api/flows?fromTime=2018-10-21&toTime=2018-10-21&limit=20'",
        ),
    ),
}
EVENT = (
    "event: action\nid: 3\n"
    'data: {"userId":"ABC123XYZ","sessionId":"XYZ456ABC","time":"2018-10-20T21:37:30-06:00","type":"NAVIGATE",'
    '"properties":{"pageFrom":"communities","pageTo":"inventory"},"seq":3,"receivedAt":"2018-10-21T03:37:31.123456Z"}\n\n'
)
TAIL_CURL = (
    ("What one user does, now", f"curl -N '{ORIGIN}/api/tail?userId=ABC123XYZ'"),
    ("All navigations from a seq on", f"curl -N '{ORIGIN}/api/tail?logType=navigate&after=0'"),
)
FORGET_CURL = (
    ("Forget a user", f"curl -X DELETE '{ORIGIN}/api/users/ABC123XYZ'"),
    ("Only what they did before 2026", f"curl -X DELETE '{ORIGIN}/api/users/ABC123XYZ?before=2026-01-01'"),
)
FORGOTTEN = {
    "userId": "ABC123XYZ",
    "actions": 3,
    "partsRewritten": 1,
    "rejects": 0,
    "actionIds": 0,
    "until": "2026-12-23T08:15:30Z",
}

REJECT = {
    "id": 18,
    "at": "2018-10-21T03:37:31.123456Z",
    "userId": "ABC123XYZ",
    "sessionId": "XYZ456ABC",
    "code": "unknown_type",
    "message": 'type "HOVER" is not one of CLICK, VIEW, NAVIGATE',
    "length": 54,
    "isCut": False,
    "raw": '{"time": "2018-10-20T21:37:29-06:00", "type": "HOVER"}',
}
MESSAGES = {
    "not_json": "the body is not JSON: invalid character (byte 0)",
    "not_batches": "expected a batch {userId, sessionId, actions} or an array of them: object missing required field"
    " `userId` - at `$[0]`",
    "too_large": "the body is over 5242880 bytes (6000000); send fewer actions at a time, or gzip them",
    "unknown_encoding": "content encoding 'br' is not known; send gzip or none",
    "key_reused": "this Idempotency-Key was used before with another body; use a new key for a new request",
    "bad_key": "Idempotency-Key is 300 characters; use 1 to 255",
    "journal_full": "the journal holds 20000000 actions that are not in parts yet; send again in a while",
    "journal_failed": "the journal could not be written: FullError: database or disk is full",
    "bad_query": "toTime is missing; give both ends of the time range, or neither",
    "not_acceptable": "none of 'image/png' can be given; ask for one of application/json, application/x-ndjson,"
    " text/csv; charset=utf-8, application/vnd.apache.arrow.stream, application/vnd.apache.parquet",
    "read_failed": "the read took longer than 900 s; ask for less, or page with limit",
    "forget_failed": "not everything could be removed yet: FullError: database or disk is full; it is tried again until"
    " it is done",
    "unauthorized": "no key came with the request; send Authorization: Bearer KEY",
    "forbidden": "the key 'shop' is for writing; reading needs one of role read or admin",
    "over_rate": "the key 'shop' may send 100 actions a second; send again in 3 s",
    "busy": "as much is under way as there is room for; send again in a moment",
    "method_not_allowed": "DELETE is not for /api/retrievelogs; see /docs",
}
"""A message for each code of an error."""

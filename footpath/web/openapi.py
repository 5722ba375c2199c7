"""The OpenAPI 3.1 document of the HTTP face, made of what the code itself obeys (see `schemas`).

Texts are written in the part of CommonMark that `docs` shows: paragraphs and `code`.
Leaves out: what a proxy in front of footpath adds, such as passwords.
"""

from importlib.metadata import version

from footpath import action, errors
from footpath.query import PARAMETERS
from footpath.web import examples, overview_docs, schemas
from footpath.web.auth import role_of
from footpath.web.rejects import PARAMETERS as REJECT_PARAMETERS
from footpath.web.retrieve import MEDIA
from footpath.web.schemas import Json, failures, not_allowed, ref
from footpath.web.submit import MAX_KEY

SUBMIT_ERRORS = (
    errors.NotJson,
    errors.NotBatches,
    errors.TooLarge,
    errors.UnknownEncoding,
    errors.BadKey,
    errors.KeyReused,
    errors.Unauthorized,
    errors.Forbidden,
    errors.OverRate,
    errors.Busy,
    errors.JournalFull,
    errors.JournalFailed,
    errors.ReadFailed,
)
REJECT_ERRORS = (errors.BadQuery, errors.Unauthorized, errors.Forbidden, errors.ReadFailed)
RETRIEVE_ERRORS = (
    errors.BadQuery,
    errors.NotAcceptable,
    errors.Unauthorized,
    errors.Forbidden,
    errors.Busy,
    errors.ReadFailed,
)
FORGET_ERRORS = (
    errors.BadQuery,
    errors.Unauthorized,
    errors.Forbidden,
    errors.ForgetFailed,
)


def document() -> Json:
    """The whole document, as JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "footpath",
            "version": version("footpath"),
            "summary": "Keeps what your users did, and gives any user's path back in milliseconds.",
            "description": "POST batches of user actions; footpath answers once they are on disk. Ask for them by user,"
            " session, type and time, in any combination. What was accepted is found by the very next read.\n\n"
            "Every error has the one shape `{code, message}`. An answer with `Retry-After` means that the same request"
            " can succeed later; any other error stays as it is until the request changes. Whatever the path, there are"
            " also `not_found` (404), `not_http` (400), `too_slow` (408), `head_too_large` (431), `internal` (500), and"
            " `busy` (503) when too many connections are open.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this server"}],
        "paths": _paths(),
        "components": {
            "schemas": schemas.schemas(),
            "headers": schemas.HEADERS,
            "securitySchemes": schemas.SECURITY,
        },
    }


def _paths() -> Json:
    paths: Json = {
        "/api/submitlogs": {"post": _submit()},
        "/api/retrievelogs": {"get": _retrieve()},
        **{path: {"get": route} for path, route in overview_docs.routes().items()},
        "/api/tail": {"get": _tail()},
        "/api/users/{userId}": {"delete": _forget()},
        "/api/rejects": {"get": _rejects()},
        "/healthz": {"get": _health("alive", "Whether the process answers.", "isAlive")},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _metrics()},
        "/openapi.json": {"get": _page("This document.", "getOpenapi", "application/json")},
        "/docs": {"get": _page("This document, for people.", "getDocs", "text/html")},
        "/footpath.js": {"get": _page("The tracker of web pages, for a script tag.", "getTracker", "text/javascript")},
        "/footpath.mjs": {"get": _page("The same, as a module.", "getTrackerModule", "text/javascript")},
        "/": {"get": _page("What this server is, and where to go.", "getFront", "text/html")},
    }
    for path, item in paths.items():
        role = role_of(path)
        for route in item.values():
            route.update(schemas.needs(role))
            if role is not None:
                or_admin = "" if role == "admin" else " or `admin`"
                told = f"Where keys are asked for, it needs one with the role `{role}`{or_admin}."
                route["description"] = f"{route['description']}\n\n{told}"
    return paths


def _tail() -> Json:
    after = "The seq of the last action that was seen: everything kept after it comes, then what is new."
    seq: Json = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    return {
        "operationId": "tailLogs",
        "summary": "Follow what users do.",
        "description": "Actions that match, as they are kept, as server-sent events in the order of `seq`: each an"
        " `action` with its seq as the id and a line of `application/x-ndjson` as the data. Without filters, all. A"
        " browser's EventSource that comes back says by itself where it was (`Last-Event-ID`) and goes on there, so"
        " nothing is skipped or repeated. The answer ends when the server stops; come back then.",
        "parameters": [
            *(schemas.PARAMETERS[name] for name in ("userId", "sessionId", "logType")),
            {"name": "after", "in": "query", "description": after, "schema": seq, "example": 1},
            {"name": "Last-Event-ID", "in": "header", "description": "Goes before `after`.", "schema": seq},
        ],
        "responses": {
            "200": {
                "description": "Events, without end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": examples.EVENT}},
            },
            **failures((errors.BadQuery, errors.Unauthorized, errors.Forbidden, errors.Busy)),
            **not_allowed("GET, HEAD"),
        },
        "x-codeSamples": [{"lang": "curl", "label": label, "source": source} for label, source in examples.TAIL_CURL],
    }


def _submit() -> Json:
    content = {
        "schema": {"oneOf": [{"type": "array", "items": ref("Batch")}, ref("Batch")]},
        "examples": examples.SUBMIT,
    }
    size = f"{action.MAX_BODY // 2**20} MiB"
    return {
        "operationId": "submitLogs",
        "summary": "Hand in what users did.",
        "description": "An array of batches, or one batch. A bad action is skipped and named in `rejected`; the others"
        " are kept. An action whose `id` its user had sent before is not stored again and counts in `duplicates`."
        " The answer comes when they are durable: it is exactly 200, and then a read finds them.\n\n"
        f"Limits: {size} as sent, {action.MAX_INFLATED // 2**20} MiB after gunzip, {action.MAX_ACTIONS:,} actions a"
        f" request, {action.MAX_ACTION_BYTES // 2**10} KiB an action, {action.MAX_DEPTH} levels of nesting. gzip is"
        " recognised by its first bytes, and any Content-Type is taken, also none: `navigator.sendBeacon` works.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Any text of your own that names this request. The same key with the same body is"
                " answered as before and stores nothing, also after a restart; with another body it is 422.",
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
                "example": "7d9f2c1e-order-page-0001",
            },
            {
                "name": "Content-Encoding",
                "in": "header",
                "description": "gzip or none.",
                "schema": {"type": "string", "enum": ["gzip", "x-gzip", "identity"]},
            },
        ],
        "requestBody": {"required": True, "content": {"application/json": content, "text/plain": content}},
        "responses": {
            "200": {
                "description": "Every accepted action is durable.",
                "headers": {"Idempotent-Replayed": ref("Idempotent-Replayed", "headers")},
                "content": {"application/json": {"schema": ref("Submitted"), "examples": examples.SUBMITTED}},
            },
            **failures(SUBMIT_ERRORS),
            **not_allowed("POST"),
        },
        "x-codeSamples": [{"lang": "curl", "label": name, "source": source} for name, source in examples.SUBMIT_CURL],
    }


def _retrieve() -> Json:
    form = {
        "json": {
            "schema": {"type": "array", "items": ref("Batch")},
            "examples": {"found": examples.FOUND, "nothing": {"summary": "Nothing found.", "value": []}},
        },
        "ndjson": {"schema": ref("Line"), "example": examples.LINE},
        "csv": {"schema": {"type": "string"}, "example": examples.CSV},
        "arrow": {"schema": {"type": "string", "format": "binary"}},
        "parquet": {"schema": {"type": "string", "format": "binary"}},
    }
    return {
        "operationId": "retrieveLogs",
        "summary": "Ask for what users did.",
        "description": "Any combination of the filters, at least one. Without `limit` everything that matches is"
        " streamed, never cut; with it, `Link` leads to the next page, and pages neither skip nor repeat while writes"
        " go on.\n\n`application/json` is the form that was submitted, so it can be posted again: each session once,"
        " its actions by time. The other formats have one flat row an action, in time order; `Accept` picks one. In CSV"
        " a cell that a spreadsheet would run as a formula gets a `'` in front.",
        "parameters": [schemas.PARAMETERS[name] for name in PARAMETERS],
        "responses": {
            "200": {
                "description": "What was found; an empty array if nothing was.",
                "headers": {"Link": ref("Link", "headers")},
                "content": {media.split(";", maxsplit=1)[0]: form[name] for name, media in MEDIA.items()},
            },
            **failures(RETRIEVE_ERRORS),
            **not_allowed("GET, HEAD"),
        },
        "x-codeSamples": [{"lang": "curl", "label": name, "source": source} for name, source in examples.RETRIEVE_CURL],
    }


def _forget() -> Json:
    return {
        "operationId": "forgetUser",
        "summary": "Remove everything of one user.",
        "description": "The actions, in whatever file they are, refused ones that were kept, and the ids of actions."
        " The answer is a receipt; it comes when no file of the data folder holds them any more, after a second or two."
        " What comes for the user later, such as a late retry, is refused with the code `user_forgotten` until the"
        " time in `until`. Asking again is fine: there is then nothing to count. If the user wants what is kept, ask"
        " for it with `userId` first. Backups are not touched.",
        "parameters": [schemas.USER, *schemas.FORGET_PARAMETERS],
        "responses": {
            "200": {
                "description": "It is gone.",
                "content": {"application/json": {"schema": ref("Forgotten"), "example": examples.FORGOTTEN}},
            },
            **failures(FORGET_ERRORS),
            **not_allowed("DELETE"),
        },
        "x-codeSamples": [{"lang": "curl", "label": name, "source": source} for name, source in examples.FORGET_CURL],
    }


def _rejects() -> Json:
    example = [examples.REJECT]
    return {
        "operationId": "listRejects",
        "summary": "Look at the actions that were refused.",
        "description": "Every action that `submitlogs` names in `rejected` is kept as it was sent, up to the bytes that"
        " the server keeps of them (`reject_bytes`): then the oldest go. The oldest come first. What a request that was"
        " refused whole held is not among them.",
        "parameters": [schemas.REJECT_PARAMETERS[name] for name in REJECT_PARAMETERS],
        "responses": {
            "200": {
                "description": "A page of them: `limit` at most, or fewer when they are large. An empty array if there"
                " are none, also after the last page.",
                "headers": {"Link": ref("Link", "headers")},
                "content": {
                    "application/json": {"schema": {"type": "array", "items": ref("Told")}, "example": example}
                },
            },
            **failures(REJECT_ERRORS),
            **not_allowed("GET, HEAD"),
        },
    }


def _status(word: str) -> Json:
    schema = {"type": "object", "properties": {"status": {"const": word}}, "required": ["status"]}
    return {"application/json": {"schema": schema, "example": {"status": word}}}


def _health(word: str, summary: str, operation: str) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": "It answers.", "content": _status(word)}},
    }


def _ready() -> Json:
    wrong = _status("not ready")
    wrong["application/json"] |= {
        "example": {"status": "not ready", "journal": "FullError: database or disk is full"},
    }
    wrong["application/json"]["schema"] |= {"additionalProperties": {"type": "string"}}
    answers = {
        "200": {"description": "All is well.", "content": _status("ready")},
        "503": {
            "description": "Something is not: the other members name the part and what is wrong with it.",
            "headers": {"Retry-After": ref("Retry-After", "headers")},
            "content": wrong,
        },
    }
    return {"operationId": "isReady", "summary": "Whether it can take and find actions.", "responses": answers}


def _metrics() -> Json:
    told = "What all processes of this server have counted, in Prometheus' text format."
    answer = _page(told, "getMetrics", "text/plain")
    answer["description"] = "docs/METRICS.md says what each metric means."
    answer["responses"] |= failures((errors.Unauthorized, errors.Forbidden))
    return answer


def _page(summary: str, operation: str, media: str) -> Json:
    schema = {"type": "object"} if media == "application/json" else {"type": "string"}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media: {"schema": schema}}}},
    }

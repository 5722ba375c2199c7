"""Errors become answers in one place: the status table, and the one JSON shape `{"code", "message"}`."""

from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from msgspec.json import encode
from starlette.responses import Response

from footpath import errors

STATUS: dict[type[errors.FootpathError], int] = {
    errors.NotJson: 400,
    errors.NotBatches: 400,
    errors.BadKey: 400,
    errors.BadQuery: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotAcceptable: 406,
    errors.TooLarge: 413,
    errors.UnknownEncoding: 415,
    errors.KeyReused: 422,
    errors.OverRate: 429,
    errors.Busy: 503,
    errors.JournalFull: 503,
    errors.JournalFailed: 503,
    errors.ReadFailed: 503,
    errors.ForgetFailed: 503,
}
"""The HTTP status of every error that a request can meet."""

RETRY_AFTER = b"2"  # seconds: a commit group or two, or one try of the journal to mend itself

Headers = list[tuple[bytes, bytes]]
JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
PLAIN: Headers = [JSON]
"""The headers of the usual answer."""


class Failure(Struct):
    """Why a request was not served: a stable code for programs, a sentence for people."""

    code: str
    message: str


def body(code: str, message: str) -> bytes:
    """The one shape of an error."""
    return encode(Failure(code, message))


def describe(error: errors.FootpathError) -> tuple[int, Headers, bytes]:
    """Status, headers and body for an error."""
    headers = [JSON]
    if isinstance(error, errors.Unavailable):
        after = RETRY_AFTER if error.wait is None else b"%d" % (int(error.wait) + 1)  # at its very end it is too early
        headers.append((b"retry-after", after))
    elif isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    return STATUS[type(error)], headers, body(error.code, str(error))


def response(error: errors.FootpathError) -> Response:
    """The answer for an error, for routes that return one."""
    status, headers, content = describe(error)
    answer = Response(content, status)
    answer.raw_headers += headers
    return answer


INTERNAL: tuple[int, Headers, bytes] = (
    500,
    [JSON],
    body("internal", "footpath met a fault of its own; its log says which"),
)
"""What is answered when footpath itself is at fault."""

NOBODY = Response(status_code=499)
"""For a client that has gone: nothing of it is sent, and nginx's number for that counts it."""


def following(path: str, query: bytes, cursor: str) -> str:
    """The header Link to the next page: the same parameters with the new cursor."""
    kept = [(name, value) for name, value in parse_qsl(query.decode(), keep_blank_values=True) if name != "cursor"]
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'

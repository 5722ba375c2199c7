"""Heads that are known again, against the parser: what is known is what the parser would have found."""

from typing import NamedTuple

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from footpath.action import MAX_BODY
from footpath.web.heads import MAX_BYTES, Head, Known, known
from footpath.web.responses import Headers

LINE = b"POST /api/submitlogs?key=k HTTP/1.1"


class Found(NamedTuple):
    """A head, split by the parser."""

    url: bytes
    headers: Headers


def parse(data: bytes) -> Found | None:
    """What the parser finds of a head that data begins with; None if it refuses that or waits for more."""
    found: list[Found] = []
    urls: list[bytes] = []
    headers: Headers = []

    class Receiver:
        def on_url(self, url: bytes) -> None:
            urls.append(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            headers.append((name.lower(), value))

        def on_headers_complete(self) -> None:
            if not found:
                found.append(Found(b"".join(urls), list(headers)))

    try:
        HttpRequestParser(Receiver()).feed_data(data)
    except (HttpParserError, HttpParserUpgrade):
        return found[0] if found else None
    return found[0] if found else None


def keep(data: bytes) -> Known | None:
    """What knows the head again that data begins with."""
    found = parse(data)
    assert found is not None
    return known(data, Head(found.url.partition(b"?")[2], found.headers, dict(found.headers)))


def head(*headers: bytes, line: bytes = LINE) -> bytes:
    """A head."""
    return b"\r\n".join([line, *headers, b"", b""])


USUAL = (b"Host: x", b"Content-Length: 123", b"X-API-Key: k", b"Connection: keep-alive")


def test_only_the_length_may_move() -> None:
    """A head is known with another length, which is what it says then, without that of the first time."""
    kept = keep(head(*USUAL) + b"x" * 123)
    assert kept is not None
    other = head(*USUAL).replace(b"123", b"7")
    assert kept.again(other + b"1234567POST") == (7, b"1234567POST")
    assert kept.again(other) == (7, b"")
    assert b"content-length" not in kept.head.named
    assert kept.head.headers == [(b"host", b"x"), (b"x-api-key", b"k"), (b"connection", b"keep-alive")]
    assert kept.head.query == b"key=k"


NOT_AGAIN = {
    "another path": head(*USUAL).replace(b"submitlogs", b"submitlogz"),
    "another key": head(*USUAL).replace(b"Key: k", b"Key: l"),
    "one more header": head(*USUAL, b"X: y"),
    "one header less": head(*USUAL[:-1]),
    "a length of nothing": head(*USUAL).replace(b"123", b""),
    "a length of zero": head(*USUAL).replace(b"123", b"0"),
    "a length with a sign": head(*USUAL).replace(b"123", b"+12"),
    "a length in other digits": head(*USUAL).replace(b"123", "١٢".encode()),
    "a length with a space": head(*USUAL).replace(b"123", b"12 "),
    "a list of lengths": head(*USUAL).replace(b"123", b"1,2"),
    "a length over the limit": head(*USUAL).replace(b"123", b"%d" % (MAX_BODY + 1)),
    "a length of many digits": head(*USUAL).replace(b"123", b"0" * 50 + b"9"),
    "a folded length": head(*USUAL).replace(b"123\r\n", b"12\r\n 3\r\n"),
    "two lengths": head(*USUAL).replace(b"123\r\n", b"12\r\nContent-Length: 3\r\n"),
    "a bare line feed": head(*USUAL).replace(b"123\r\n", b"123\n"),
    "empty lines before it": b"\r\n" + head(*USUAL),
    "half of it": head(*USUAL)[:-2],
    "its beginning": head(*USUAL)[:20],
    "nothing": b"",
}


@pytest.mark.parametrize("data", NOT_AGAIN.values(), ids=NOT_AGAIN.keys())
def test_what_differs_is_not_known(data: bytes) -> None:
    """A head that differs in anything but a good length is left to the parser."""
    kept = keep(head(*USUAL))
    assert kept is not None
    assert kept.again(data) is None


NEVER = {
    "chunks": head(b"Host: x", b"Transfer-Encoding: chunked"),
    "no length": head(b"Host: x", b"X: y"),
    "a length of another form": head(b"Host: x", b"Content-Length:5"),
    "an upgrade": head(*USUAL, b"Upgrade: h2c"),
    "a client that waits": head(*USUAL, b"Expect: 100-continue"),
    "an Idempotency-Key": head(*USUAL, b"Idempotency-Key: 1"),
    "a long one": head(*USUAL, b"X: " + b"y" * MAX_BYTES),
    "empty lines before it": b"\r\n\r\n" + head(*USUAL),
    "one empty line before it": b"\r\n" + head(*USUAL),
}


@pytest.mark.parametrize("data", NEVER.values(), ids=NEVER.keys())
def test_what_is_never_known(data: bytes) -> None:
    """A head that says more than how long its body is, or will not come again, is not kept."""
    assert keep(data) is None


_LINES = st.sampled_from(
    [b"Host: x", b"X-API-Key: k", b"Content-Length: 5", b"content-length: 6", b"Content-Length:7", b" folded", b"X:",
     b"Transfer-Encoding: chunked", b"Content-Length: ", b"X: \r", b"X: \n", b"Expect: 100-continue"]
)  # fmt: skip


@given(
    st.lists(_LINES, max_size=5),
    st.integers(0, 200),
    st.integers(0, 9),
    st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"1", b" ", b"\0", b"\r\nContent-Length: 3", b"\r\n\r\n"]),
)
@example([b"Host: x"], 60, 0, b"\r\nContent-Length: 3")
def test_what_is_known_is_what_the_parser_finds(lines: list[bytes], place: int, cut: int, put_in: bytes) -> None:
    """Whatever is put into a head or cut out of it: if it is still known, the parser finds the same and this length."""
    data = head(b"Content-Length: 123", *lines)
    found = parse(data)
    if found is None:
        return
    kept = known(data, Head(b"", found.headers, dict(found.headers)))
    changed = data[:place] + put_in + data[place + cut :]
    if kept is None or (again := kept.again(changed)) is None:
        return
    length, rest = again
    reparsed = parse(changed[: len(changed) - len(rest)])
    assert reparsed is not None
    lengths = [int(value) for name, value in reparsed.headers if name == b"content-length"]
    assert lengths == [length]
    assert [header for header in reparsed.headers if header[0] != b"content-length"] == kept.head.headers
    assert reparsed.url == found.url

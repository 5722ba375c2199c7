"""Request body -> checked actions. Pure: bytes in, values out.

A body that fits the model exactly is decoded once: as one of flat actions (`_FLAT`), which saves counting brackets, or
else of any (`_STRICT`). One that does not fit is decoded again with its actions left raw, so that one bad action is
refused alone and never the request. All ways give the same entries for the same good actions: msgspec decodes and
writes them, which is what keeps invalid UTF-8, 1e400 and 5,000-digit integers out.

Half a surrogate pair (what JSON.stringify writes of text that was cut inside an emoji) is JSON, but no text. It is put
in as the bytes that it would be in UTF-8 if that allowed it, so that only the action that holds it cannot be read.
"""

import re
import zlib
from collections.abc import Callable, Sequence

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from footpath.action import MAX_ACTIONS, MAX_BODY, MAX_INFLATED, Batch, Checked, FlatBatch, LooseBatch
from footpath.errors import NotBatches, NotJson, TooLarge, UnknownEncoding
from footpath.validate import accept, sort_out

_FLAT = Decoder(list[FlatBatch] | FlatBatch)
_STRICT = Decoder(list[Batch] | Batch)
_LOOSE: Decoder[list[LooseBatch] | LooseBatch] = Decoder(list[LooseBatch] | LooseBatch)
_GZIP_MAGIC = b"\x1f\x8b"
_INFLATE_STEP = 1 << 20
_DEFLATED_STEP = 1 << 12  # zlib copies what follows a member: 5 MiB of empty ones took 17 s when given whole, 0.5 s so
_WHOLE = rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)++"
MAX_VALUES = MAX_BODY // 2  # as many as a body without gzip can hold: commas and opening brackets, in texts too
_MAX_PIECES = 2 * MAX_ACTIONS  # whole pieces and halves between them: a request with more is refused, in 30 ms
_HALF = re.compile(_WHOLE + rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2})", re.DOTALL)
_MENDED = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


def read(body: bytes, content_encoding: str = "") -> Checked:
    """Decode and check a request body.

    Args:
        body: as it was sent; gzip is recognised by its first two bytes, whatever the headers say.
        content_encoding: the header's value; anything but gzip and identity is refused.

    Raises:
        NotJson, NotBatches, TooLarge, UnknownEncoding: nothing of the request can be taken.
    """
    if content_encoding and content_encoding.strip().lower() not in {"gzip", "x-gzip", "identity"}:
        raise UnknownEncoding(f"content encoding {content_encoding[:40]!r} is not known; send gzip or none")
    if body[:2] == _GZIP_MAGIC:
        body = inflate(body)
        _refuse_too_dense(body)
    is_flat = True
    batches: Sequence[Batch] | Batch
    try:
        try:
            batches = _FLAT.decode(body)
        except ValidationError:
            batches = _STRICT.decode(body)
            is_flat = False
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return _read_loose(body)
    if isinstance(batches, Batch):
        batches = [batches]
    sizes = [len(batch.actions) for batch in batches]
    received = sum(sizes)
    if received > MAX_ACTIONS:
        _refuse_too_many(received)
    entries = accept(batches, are_flat=is_flat)
    return Checked(received, entries, [], sizes=sizes) if entries is not None else _read_loose(body)


def _read_loose(body: bytes) -> Checked:
    try:
        batches, as_sent = _loose_batches(body)
    except ValidationError as error:
        raise NotBatches(
            f"expected a batch {{userId, sessionId, actions}} or an array of them: {_lower_first(str(error))}"
        ) from error
    except DecodeError as error:
        raise NotJson(f"the body is not JSON: {_lower_first(str(error))}") from error
    except UnicodeDecodeError as error:
        raise NotJson("the body is not JSON: it holds bytes that are not UTF-8") from error
    except RecursionError as error:
        raise NotJson("the body is nested too deeply to read") from error
    if isinstance(batches, LooseBatch):
        batches = [batches]
    _refuse_too_many(sum(len(batch.actions) for batch in batches))
    return sort_out(batches, as_sent)


def _loose_batches(body: bytes) -> tuple[list[LooseBatch] | LooseBatch, Callable[[bytes], bytes]]:
    """Batches whose actions are raw, and what gives such an action as it was sent."""
    try:
        return _LOOSE.decode(body), bytes
    except ValidationError:
        raise
    except DecodeError:
        mended = _HALF.sub(lambda found: _without_escape(found[0], found[1]), body, count=_MAX_PIECES)
        if mended == body:
            raise
    return _LOOSE.decode(mended), _with_escapes


def _without_escape(text: bytes, half: bytes | None) -> bytes:
    return text if half is None else chr(int(half, 16)).encode("utf-8", "surrogatepass")


def _refuse_too_dense(body: bytes) -> None:
    """Refuse what would take half a gigabyte as values: empty objects of three bytes take 72 each."""
    if len(body) > MAX_BODY:
        values = body.count(b",") + body.count(b"{") + body.count(b"[")
        if values > MAX_VALUES:
            raise TooLarge(f"{values} values after gunzip; send at most {MAX_VALUES} at a time")


def _with_escapes(mended: bytes) -> bytes:
    """What was mended as it was, but for the case of the escapes' letters."""
    return _MENDED.sub(lambda found: b"\\u%04x" % ord(found[0].decode("utf-8", "surrogatepass")), mended)


def _refuse_too_many(received: int) -> None:
    if received > MAX_ACTIONS:
        raise TooLarge(f"{received} actions in one request; send at most {MAX_ACTIONS} at a time")


def _lower_first(message: str) -> str:
    message = message.removeprefix("JSON is malformed: ")
    return message[:1].lower() + message[1:]


def inflate(body: bytes, limit: int = MAX_INFLATED) -> bytes:
    """Gunzip a body of one or more members, never holding more than `limit` bytes of output.

    Raises:
        TooLarge: the output would be over `limit`.
        NotJson: the gzip stream is damaged, cut short, or followed by something else.
    """
    chunks: list[bytes] = []
    size = position = 0
    while position < len(body):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = body[position : position + _DEFLATED_STEP]
            try:
                chunk = member.decompress(piece, _INFLATE_STEP)
            except zlib.error as error:
                raise NotJson("the body starts as gzip but is damaged") from error
            position += len(piece) - len(member.unconsumed_tail) - len(member.unused_data)
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body is over {limit} bytes after gunzip; send fewer actions at a time")
            chunks.append(chunk)
            if not chunk and not piece and not member.eof:
                raise NotJson("the body starts as gzip but is cut short")
    return b"".join(chunks)

"""A file's bytes -> records, one JSON value each, with the line each begins in. In flat memory, however large the file.

Two ways, chosen by how the file begins:

    lines      a value a line (NDJSON); a line that is broken spoils only itself
    brackets   one array over many lines or a single long one, or one value written over many lines: cut where the
               brackets say, so that its elements come one by one

Whether a record is JSON and means something is not judged here. Pure: the bytes are given as blocks.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

MAX_RECORD = 64 << 20  # bytes of one value, held in memory: a session of 400,000 actions

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_BETWEEN = b" \t\r\n,"
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\]]', re.DOTALL)
"""Everything up to the next bracket that is not inside of a string, and the bracket."""


class Record(NamedTuple):
    """A piece of a file: `raw` should be one JSON value, and is only its beginning if it was `too_large`."""

    line: int
    raw: bytes
    too_large: bool = False


class Unbounded(Exception):
    """A value inside of brackets is longer than `MAX_RECORD`, so what follows it cannot be read; str() says where."""


def records(blocks: Iterator[bytes]) -> Iterator[Record]:
    """Cut a file into records.

    Args:
        blocks: its bytes; of any size but empty ones.

    Raises:
        Unbounded: while iterating.
    """
    first = b""
    for block in blocks:
        first += block
        if len(first) > len(_BOM) and first.strip(_BLANK):
            break
    blocks = chain([first.removeprefix(_BOM)], blocks)
    return by_brackets(blocks) if _goes_by_brackets(first.removeprefix(_BOM)) else by_lines(blocks)


def _goes_by_brackets(first: bytes) -> bool:
    """Whether a file that begins so holds values that are not one a line."""
    start = first.lstrip(_BLANK)
    line, newline, rest = start.partition(b"\n")
    line = line.rstrip(_BLANK)
    if line[:1] == b"[":
        return not (newline and rest.strip(_BLANK) and is_whole(line))
    return line == b"{"


def is_whole(line: bytes) -> bool:
    """Whether the first bracket of a line is closed by its last byte."""
    depth = at = 0
    while match := _BRACKET.match(line, at):
        at = match.end()
        depth += 1 if line[at - 1] in b"[{" else -1
        if depth == 0:
            return at == len(line)
    return False


def by_lines(blocks: Iterator[bytes]) -> Iterator[Record]:
    """A record for each line that is not blank."""
    number = 1
    held = b""
    for block in blocks:
        lines = (held + block).split(b"\n")
        held = lines.pop()
        for line in lines:
            if stripped := line.strip(_BLANK):
                yield _bounded(number, stripped)
            number += 1
        if len(held) > MAX_RECORD:
            yield _bounded(number, held)
            held = _skip_line(blocks)
            number += 1
    if stripped := held.strip(_BLANK):
        yield _bounded(number, stripped)


def _bounded(number: int, raw: bytes) -> Record:
    return Record(number, raw) if len(raw) <= MAX_RECORD else Record(number, raw[:1000], too_large=True)


def _skip_line(blocks: Iterator[bytes]) -> bytes:
    """Read to the end of the line; what of the next one has been read."""
    for block in blocks:
        _, newline, rest = block.partition(b"\n")
        if newline:
            return rest
    return b""


def by_brackets(blocks: Iterator[bytes], line: int = 1) -> Iterator[Record]:
    """A record for each object that stands alone or in an array, and for whatever else is found between them.

    Args:
        blocks: the bytes.
        line: the number of the line in which they begin.

    Raises:
        Unbounded: while iterating.
    """
    return _Brackets(blocks, line).records()


class _Brackets:
    """Where `by_brackets` stands: `buffer` holds what is not given yet, from `start` on."""

    def __init__(self, blocks: Iterator[bytes], line: int) -> None:
        self._blocks = blocks
        self._buffer = b""
        self._start = 0
        self._at = 0  # where to look for the next bracket
        self._line = line  # of the place `_counted` in the buffer
        self._counted = 0

    def records(self) -> Iterator[Record]:
        """The records."""
        depth = base = 0  # open brackets, and how many of them are an array around records: 0 or 1
        while bracket := self._next_bracket():
            if bracket in b"[{":
                if depth == base:
                    yield from self._until(self._at - 1)
                depth += 1
                if depth == 1 and bracket == b"[":
                    base, self._start = 1, self._at
            elif depth == base:  # the end of the array, or a bracket too many
                yield from self._until(self._at - 1 if base else self._at)
                depth, base, self._start = 0, 0, self._at
            else:
                depth -= 1
                if depth == base:
                    yield from self._until(self._at)
        yield from self._until(len(self._buffer))
        if base:
            yield Record(self._line_at(len(self._buffer)), b"")  # an array without an end: the file was cut short

    def _next_bracket(self) -> bytes:
        """Go behind the next bracket, and give it; nothing if there is none."""
        while (match := _BRACKET.match(self._buffer, self._at)) is None:
            block = next(self._blocks, b"")
            if not block:
                return b""
            self._line_at(self._start)
            if len(self._buffer) - self._start > MAX_RECORD:
                begin = len(self._buffer) - len(self._buffer[self._start :].lstrip(_BETWEEN))
                raise Unbounded(f"the value in line {self._line_at(begin)} is over {MAX_RECORD >> 20} MiB")
            self._buffer = self._buffer[self._start :] + block
            self._at -= self._start
            self._start = self._counted = 0
        self._at = match.end()
        return self._buffer[self._at - 1 : self._at]

    def _until(self, end: int) -> Iterator[Record]:
        """What stands from `start` to `end`, as a record unless it is blank."""
        piece = self._buffer[self._start : end]
        begin = self._start + len(piece) - len(piece.lstrip(_BETWEEN))
        self._start = end
        if begin < end:
            yield Record(self._line_at(begin), piece.strip(_BETWEEN))

    def _line_at(self, place: int) -> int:
        self._line += self._buffer.count(b"\n", self._counted, place)
        self._counted = place
        return self._line

"""Logs: one JSON line an event for machines, a readable line on a terminal. Written to standard error.

Control characters are escaped in both forms, so an id cannot forge a line or steer a terminal. Only a traceback in text
spans lines; what its exceptions say is escaped too. Credentials are taken out of every value, also of libraries' lines
and of tracebacks (`redact`), and a flood of one event is cut short (`flood`).
"""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog

from footpath import redact
from footpath.flood import Flood


class Outlet:
    """A stream whose failures do not reach whoever logs.

    A log is often on the disk that it tells about: when that is full, telling so must not stop what heals from it. A
    line that cannot be written is lost; the stream keeps what it has buffered, and writes it when there is space again.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as far as that can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(form: str = "auto") -> None:
    """Set up the logs of this process, also those of libraries. `form` is json, text or auto (text on a terminal)."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), repr_native_str=False)
    renderer: structlog.typing.Processor = (
        (lambda logger, name, event: console(logger, name, _printable(event)))
        if text
        else structlog.processors.JSONRenderer(ensure_ascii=True)
    )
    flood = Flood()
    outlet: TextIO = cast("TextIO", Outlet(sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[_thinned(flood), *shared, _redacted, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=outlet),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(outlet)
    libraries.addFilter(lambda record: _passes(flood, record))
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_told, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redacted, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)


def _redacted(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return redact.fields(event)


def _thinned(flood: Flood) -> structlog.typing.Processor:
    def thin(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        held_back = flood.passes(str(event.get("event")))
        if held_back is None:
            raise structlog.DropEvent
        return {**event, "held_back": held_back} if held_back else event

    return thin


def _passes(flood: Flood, record: logging.LogRecord) -> bool:
    """The same for a library's line, before anything is put together for it."""
    held_back = flood.passes(f"{record.name}: {record.msg}")
    if held_back:
        record.held_back = held_back
    return held_back is not None


def _told(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    held_back = getattr(event["_record"], "held_back", 0)
    return {**event, "held_back": held_back} if held_back else event


def _printable(event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """An event with text in which whatever does not print is written as an escape."""
    return {
        name: "\n".join(_escape(line) for line in str(value).split("\n")) if name == "exception" else _value(value)
        for name, value in event.items()
    }


def _value(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else _escape(str(value))


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join([letter if letter.isprintable() else repr(letter)[1:-1] for letter in text])

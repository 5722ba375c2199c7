"""What all commands share at a terminal: text that is safe to show, tables, progress bars, and lines for pipes.

Data is shown as it is only where it is printable: a user's id can hold escape sequences, which a terminal would obey,
and marks that turn the direction of writing. Rich gets `Text`, never markup.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


def safe(text: str) -> str:
    """The text with every character that a terminal might act on written as its escape, as Python writes it."""
    if text.isprintable():
        return text
    return "".join([letter if letter.isprintable() else _escape(ord(letter)) for letter in text])


def _escape(number: int) -> str:
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def say(text: str) -> None:
    """A line for the person at the terminal, on standard error, so that it is never mixed with data."""
    sys.stderr.write(f"{safe(text)}\n")


def on_terminal(stream: IO[str] | None = None) -> bool:
    """Whether a person reads what is written to a stream, standard output by default."""
    return (sys.stdout if stream is None else stream).isatty()


class Column(NamedTuple):
    """A column of a table: its heading, whether it holds numbers, and whether its cells may be cut in lines."""

    name: str
    number: bool = False
    wraps: bool = True


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output; the cells as they are in the data."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, number, wraps in columns:
        made.add_column(
            Text(safe(name)),
            justify="right" if number else "left",
            no_wrap=not wraps,
            overflow="fold" if wraps else "crop",
        )
    for row in rows:
        made.add_row(*[Text(safe(cell)) for cell in row])
    Console(markup=False, highlight=False, emoji=False).print(made)


def progress(*columns: "str | ProgressColumn", timed: bool = True) -> "Progress":
    """A progress bar on standard error; nothing where that is no terminal.

    Args:
        columns: what stands to the right of the bar.
        timed: whether the total is known, so that the time left can be told.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    time = TimeRemainingColumn() if timed else TimeElapsedColumn()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        *columns,
        time,
        console=Console(stderr=True, markup=False, highlight=False),
        disable=not sys.stderr.isatty(),
        transient=True,
    )

"""What sums over actions take from their properties, as SQL over the columns of a part or of a table.

- A page is a property of text: `page` of clicks and views, `pageFrom` and `pageTo` of navigations.
- A click has a cell of the grid if its page has a width and a height above 0 and it lies on the page, edges included.

Whoever sums up, now or ahead, on one machine or past it, takes these from here, so that all give the same. `Known` is
where DuckDB and Trino differ; without one it is DuckDB.
"""

from typing import NamedTuple

from footpath.overview.asked import GRID

_LARGEST = "1.7976931348623157e308"  # of a double: what is beyond it is infinite, and has no cells
FROM, TO, PAGE, X, Y, WIDTH, HEIGHT = range(1, 8)
_PATHS = ("$.pageFrom", "$.pageTo", "$.page", "$.locationX", "$.locationY", "$.pageWidth", "$.pageHeight")


class Known(NamedTuple):
    """How a dialect says what a look at `properties` gives; `{}` is the place of a known property, as above.

    `columns` are selected beside the others, and hold all that counts; `raw` is a value as JSON text, `string` what a
    JSON string means, `small` a type that holds a cell.
    """

    columns: str
    raw: str
    string: str
    small: str


_LIST = ", ".join(f"'{path}'" for path in _PATHS)
DUCKDB = Known(  # one look for all: a list
    f"json_extract(properties, [{_LIST}]) AS known", "known[{}]::VARCHAR", "known[{}] ->> '$'", "UTINYINT"
)
TRINO = Known(  # a column each: what a statement does not use is not looked for
    ", ".join(f"json_extract(properties, '{path}') AS known_{place}" for place, path in enumerate(_PATHS, 1)),
    "json_format(known_{})",
    "json_extract_scalar(known_{}, '$')",
    "integer",
)


def text(place: int, known: Known = DUCKDB) -> str:
    """The SQL of a known property as text; NULL if it is none."""
    return f"CASE WHEN starts_with({known.raw.format(place)}, '\"') THEN {known.string.format(place)} END"


def number(place: int, known: Known = DUCKDB) -> str:
    """The SQL of a known property as a number; NULL if it is none: text keeps its quotes, and so is none."""
    return f"TRY_CAST({known.raw.format(place)} AS DOUBLE)"


def cell(at: int, size: int, known: Known = DUCKDB) -> str:
    """The SQL of the column or row of the `GRID` that a click falls into; NULL if it is not on the page."""
    place, whole = number(at, known), number(size, known)
    return (
        f"CASE WHEN {whole} > 0 AND {place} >= 0 AND {place} <= {whole} AND {whole} <= {_LARGEST}"
        f" THEN CAST(least(floor({place} / {whole} * {GRID}), {GRID - 1}) AS {known.small}) END"
    )


def bucket(micros: str, width: int) -> str:
    """The SQL of the start of the bucket of so many microseconds that a time is in; also before 1970."""
    return f"{micros} - (({micros} % {width}) + {width}) % {width}"

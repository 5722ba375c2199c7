"""What sums over actions take from their properties, as SQL over the columns of a part.

- A page is a property of text: `page` of clicks and views, `pageFrom` and `pageTo` of navigations.
- A click has a cell of the grid if its page has a width and a height above 0 and it lies on the page, edges included.

Whoever sums up, now or ahead, takes these from here, so that both give the same.
"""

from footpath.overview.asked import GRID

FROM, TO, PAGE, X, Y, WIDTH, HEIGHT = range(1, 8)
_PATHS = "['$.pageFrom', '$.pageTo', '$.page', '$.locationX', '$.locationY', '$.pageWidth', '$.pageHeight']"
KNOWN = f"json_extract(properties, {_PATHS}) AS known"
"""The properties that count, in one look at them: a list of JSON, by the places above."""


def text(place: int) -> str:
    """The SQL of a known property as text; NULL if it is none."""
    return f"CASE WHEN starts_with(known[{place}]::VARCHAR, '\"') THEN known[{place}] ->> '$' END"


def number(place: int) -> str:
    """The SQL of a known property as a number; NULL if it is none: text keeps its quotes, and so is none."""
    return f"TRY_CAST(known[{place}]::VARCHAR AS DOUBLE)"


def cell(at: int, size: int) -> str:
    """The SQL of the column or row of the `GRID` that a click falls into; NULL if it is not on the page."""
    place, whole = number(at), number(size)
    return (
        f"CASE WHEN {whole} > 0 AND {place} >= 0 AND {place} <= {whole}"
        f" THEN CAST(least(floor({place} / {whole} * {GRID}), {GRID - 1}) AS UTINYINT) END"
    )


def bucket(micros: str, width: int) -> str:
    """The SQL of the start of the bucket of so many microseconds that a time is in; also before 1970."""
    return f"{micros} - (({micros} % {width}) + {width}) % {width}"

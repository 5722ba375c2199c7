"""A query in Trino's dialect: values beside the text, one copy of an action, pages by place."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from footpath.action import MAX_MICROS, MIN_MICROS, TYPE_BITS
from footpath.aws.literal import literal, quoted
from footpath.aws.trino import immediate
from footpath.find import sql
from footpath.query import Position, Query

TIMES = st.integers(MIN_MICROS, MAX_MICROS)
SEQS = st.integers(0, 2**63 - 1)
PLACES = st.builds(Position, TIMES, SEQS)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
QUERIES = st.builds(
    Query,
    user_id=st.none() | TEXT,
    session_id=st.none() | TEXT,
    types=st.lists(st.sampled_from(sorted(TYPE_BITS)), unique=True).map(tuple),
    time_from=st.none() | TIMES,
    time_to=st.none() | TIMES,
    order=st.sampled_from(["asc", "desc"]),
    limit=st.none() | st.integers(1, 10_000),
    after=st.none() | PLACES,
    until=st.none() | PLACES,
    last_seq=st.none() | SEQS,
)


def shape_of(query: Query) -> Query:
    """The same query with other values everywhere."""
    place = Position(1, 2)
    return Query(
        user_id=None if query.user_id is None else "somebody",
        session_id=None if query.session_id is None else "some session",
        types=tuple("VIEW" for _ in query.types),
        time_from=None if query.time_from is None else 3,
        time_to=None if query.time_to is None else 4,
        order=query.order,
        limit=query.limit,
        after=None if query.after is None else place,
        until=None if query.until is None else place,
        last_seq=None if query.last_seq is None else 5,
    )


@given(QUERIES)
def test_no_value_is_in_the_text(query: Query) -> None:
    """Two queries that differ in values only have the same text, with as many question marks as there are values."""
    statement = sql.over('"actions"', query, sql.in_time(query))
    other = sql.over('"actions"', shape_of(query), sql.in_time(query))
    assert statement.text == other.text
    assert statement.text.count("?") == len(statement.values) == len(other.values)


@given(TEXT)
def test_a_literal_says_its_text_and_nothing_else(text: str) -> None:
    """Without its outer marks, and each doubled one single again, a literal is the text, and no single one is left."""
    inside = quoted(text)[1:-1]
    assert inside.replace("''", "'") == text
    assert "'" not in inside.replace("''", "")


def test_values_stand_in_the_order_of_their_marks() -> None:
    """Every value of a query with everything is bound where its column is compared."""
    query = Query("u'", "s", ("CLICK", "VIEW"), 0, 1, "desc", 7, Position(2, 3), Position(4, 5), 6)
    statement = sql.over('"actions"', query, sql.in_time(query))
    first, second, third, fourth, fifth = (
        f"1970-01-01 00:00:00{end} UTC" for end in ["", *(f".00000{n}" for n in (1, 2, 4, 4))]
    )
    assert statement.values[:6] == ("u'", "s", "CLICK", "VIEW", first, second)
    assert statement.values[6:] == (third, fourth, 6, third, third, 3, fourth, fifth, 5)
    assert immediate(statement).endswith(
        f"USING 'u''', 's', 'CLICK', 'VIEW', {', '.join(map(literal, statement.values[4:]))}"
    )


def test_what_copies_do_not_share_is_asked_after_one_is_chosen() -> None:
    """The place after which a page begins is compared outside of the numbering of copies, the filters inside."""
    for order, end in product(("asc", "desc"), ("after", "until")):
        query = Query(user_id="u", order=order, **{end: Position(1, 2)})  # type: ignore[arg-type]
        inside, _, outside = sql.over('"t"', query, sql.in_time(query)).text.partition(") WHERE copy = 1")
        assert "user_id = ?" in inside
        assert "seq < ?" not in inside
        assert "seq > ?" not in inside
        assert "seq" in outside.partition("ORDER BY")[0]

"""Overviews over an Iceberg table, by Trino and by Athena's API: what a list comprehension gives, as on one machine.

Every batch stands in the table twice, as a retry leaves it.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from footpath.action import MAX_DEPTH, TYPE_BITS
from footpath.aws.address import AthenaAddress, TrinoAddress
from footpath.aws.athena import Athena
from footpath.aws.engine import Engine
from footpath.aws.find import TableFind
from footpath.aws.overviews import TableOverviews
from footpath.aws.trino import Trino
from footpath.errors import BadQuery, ReadFailed
from footpath.find import summing
from footpath.overview import asked
from footpath.query import rfc3339
from tests.conformance.overviews import DAY, START, Model, Step, batches, check, check_sessions, ranges
from tests.scale import athena, servers
from tests.scale.lake import SHARD, Lake

OTHER_SHARD = "shardId-000000000007"
EXAMPLES = 2  # each asks some 30 times, and an engine takes a tenth of a second or two
NO_SHRINKING = (Phase.explicit, Phase.generate)


@dataclass
class Table(Model):
    """A table, and the list of what was kept in it."""

    lake: Lake

    def go(self, plan: list[Step]) -> None:
        """Put all batches of a plan into the table, twice."""
        kept = [self.note(*step) for step in plan if not isinstance(step, str)]
        if kept:
            ids = [uuid.uuid4().hex for _ in kept]
            for shard in (SHARD, OTHER_SHARD):
                self.lake.keep(kept, batch_ids=ids, shard=shard)


World = Callable[..., Any]


@pytest.fixture(scope="module", params=["trino", "athena"])
def world(
    request: pytest.FixtureRequest,
    aws: Mapping[str, str],
    s3: servers.S3,
    trino: servers.Trino,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """What makes a new table with one of the engines over it."""
    assert aws
    folder: Path = tmp_path_factory.mktemp("overviews")
    with athena.serving(s3, trino) as (endpoint, _):

        def engine(lake: Lake) -> Engine:
            if request.param == "trino":
                return Trino(TrinoAddress(trino.host, trino.port, trino.catalog, lake.database))
            return Athena(AthenaAddress(lake.database, output=f"s3://{s3.bucket}/results", endpoint=endpoint))

        @contextmanager
        def made(oldest: int | None = None) -> Iterator[Table]:
            lake = Lake(s3.bucket, folder)
            try:
                yield Table(TableOverviews(TableFind(engine(lake), oldest=lambda: oldest)), lake)
            finally:
                lake.drop()

        yield made


@given(
    st.lists(batches, min_size=10, max_size=30),
    ranges(),
    st.integers(1, 4),
    st.tuples(st.sampled_from(asked.DIVISORS), st.sampled_from(asked.DIVISORS)),
)
@settings(max_examples=EXAMPLES, deadline=None, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck))
def test_overviews_are_the_list_comprehensions(
    world: World, plan: list[Step], given_range: dict[str, list[str]], limit: int, cells: tuple[int, int]
) -> None:
    """Any overview over a table is what a list comprehension gives over the same actions."""
    with world() as here:
        here.go(plan)
        check(here, given_range, limit, cells)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_sessions_neither_skip_nor_repeat(world: World, order: str) -> None:
    """The pages of a user's sessions are what there was when the first was read, whatever is put in between."""
    with world() as here:
        here.go([("u", session, [(START + place, "CLICK", {"page": session})]) for place, session in enumerate("sttu")])
        later: list[list[Step]] = [
            [("u", session, [(START - 5 * DAY, "VIEW", {}), (START + 5 * DAY, "VIEW", {"page": "late"})])]
            for session in ("t", "a", "z")
        ]
        check_sessions(here, {"userId": ["u"], "order": [order], "limit": ["1"]}, later)


def test_what_has_expired_counts_nowhere(world: World) -> None:
    """An action older than `keep` is in no overview, while the table still holds it."""
    properties = {"page": "home", "pageFrom": "home", "pageTo": "item/1"}
    with world(oldest=START) as here:
        for kind in TYPE_BITS:
            here.go([("u", "s", [(START - 1, kind, properties), (START, kind, properties)])])
        span = {"fromTime": ["1970-01-01"], "toTime": [rfc3339(START)]}
        (session,) = here.overviews.sessions(asked.sessions_of({"userId": ["u"]})).sessions
        assert (session.start, session.actions) == (rfc3339(START), 3)
        assert [count.time for count in here.overviews.counts(asked.counts_of({})).counts] == [rfc3339(START)]
        assert here.overviews.clicks(asked.clicks_of({"page": ["home"], **span})).clicks == 1
        assert [flow.count for flow in here.overviews.flows(asked.flows_of(span)).flows] == [1]


def test_too_many_buckets_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of more buckets than are allowed are refused with the next step."""
    with world() as here:
        here.go([("u", "s", [(START + place * 60_000_000, "VIEW", {}) for place in range(3)])])
        monkeypatch.setattr(summing, "MAX_BUCKETS", 2)
        with pytest.raises(BadQuery, match="wider"):
            here.overviews.counts(asked.counts_of({"bucket": ["minute"]}))


def test_properties_of_any_form_do_not_stop_an_overview(world: World) -> None:
    """Deep, long and huge values beside what counts, and in its place, change nothing of what is counted."""
    deep: Any = 1
    for _ in range(MAX_DEPTH - 5):
        deep = [deep]
    click = {"page": "p", "locationX": 1, "locationY": 1, "pageWidth": 4, "pageHeight": 4}
    odd: list[dict[str, Any]] = [
        {**click, "deep": deep},
        {**click, "digits": int("9" * 4_000)},
        {**click, "text": "x" * 60_000},
        {**click, "locationX": 4},
        {**click, "pageWidth": [4]},
        {**click, "pageWidth": "4"},
        {**click, "pageWidth": 1e308},
        {**click, "pageWidth": 10**4_000},
        {**click, "pageWidth": 10**4_000, "locationX": 10**4_000},
    ]
    with world() as here:
        here.go([("u", "s", [(START + place, "CLICK", made) for place, made in enumerate(odd)])])
        question = {"page": ["p"], "fromTime": [rfc3339(START)], "toTime": [rfc3339(START + DAY)]}
        wanted = asked.clicks_of({**question, "columns": ["4"], "rows": ["4"]})
        assert to_builtins(here.overviews.clicks(wanted)) == here.clicks(wanted.query, "p", 4, 4)


def test_a_page_of_any_length_is_found(world: World) -> None:
    """Clicks on a page whose name is as long as one may be asked for, and full of quotation marks, are counted."""
    page = "'é" * (asked.MAX_PAGE_LENGTH // 2)
    with world() as here:
        here.go([("u", "s", [(START, "CLICK", {"page": page})])])
        span = {"fromTime": [rfc3339(START)], "toTime": [rfc3339(START)]}
        assert here.overviews.clicks(asked.clicks_of({"page": [page], **span})).clicks == 1


def test_what_cannot_be_read_is_no_empty_overview(world: World) -> None:
    """Overviews of a table that is gone fail, with a sentence."""
    with world() as here:
        here.go([("u", "s", [(START, "CLICK", {"page": "home"})])])
        here.lake.drop()
        with pytest.raises(ReadFailed):
            here.overviews.counts(asked.counts_of({}))

"""The journal over a Kinesis stream: the conformance suite where it applies, and what it promises in its own way."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import boto3
import pytest
import zstandard

from footpath.action import RejectRow
from footpath.aws import record
from footpath.aws.address import StreamAddress
from footpath.aws.kinesis import KinesisJournal
from footpath.errors import BadSetting, JournalFailed, JournalFull
from footpath.journal.base import ALL_NEW
from footpath.journal.refusal import FULL_SECONDS
from tests.conformance import test_journal as suite
from tests.conformance import test_journal_once as once_suite
from tests.conformance.journals import PLENTY, Row, entries, names_of, once, run
from tests.scale import servers
from tests.scale.brook import Brook, batch, brook, footpath

THROTTLED = "ProvisionedThroughputExceededException"
APPLY = (
    suite.test_what_was_appended_is_kept_in_order,
    suite.test_appends_at_once_are_each_kept_once,
    suite.test_too_much_that_waits_is_refused_at_once,
    suite.test_closing_finishes_what_was_appended,
    suite.test_whoever_stops_waiting_harms_nobody,
    once_suite.test_an_id_is_its_users_own,
)
OTHERWISE = {  # what a stream cannot promise, and where it is kept instead
    "test_nothing_to_append_is_kept_at_once": "no answer is kept with a key",
    "test_a_key_that_comes_twice_appends_once": "the sink: test_a_key_makes_the_same_batches",
    "test_a_key_that_comes_twice_in_the_same_moment_appends_once": "the sink: test_a_key_makes_the_same_batches",
    "test_a_key_with_another_body_is_refused": "both are kept",
    "test_too_much_in_the_journal_is_refused_whole": "a stream has no such limit, its shards have rates",
    "test_seqs_are_never_given_again": "the sink gives them: test_seqs_are_never_given_again of test_sink",
    "test_a_journal_that_fails_says_so_and_mends_itself": "test_a_stream_that_goes_and_comes_back",
    "test_a_journal_that_fails_can_be_closed": "test_a_stream_that_goes_and_comes_back",
    "test_an_action_that_comes_again_is_left_out": "reads leave it out",
    "test_without_an_id_nothing_is_a_duplicate": "reads leave duplicates out",
    "test_twice_in_one_append_is_kept_once": "reads leave duplicates out",
    "test_in_the_same_moment_each_is_kept_once": "reads leave duplicates out",
    "test_thousands_in_one_append": "reads leave duplicates out",
    "test_a_replay_tells_the_same_duplicates": "there are none to tell",
    "test_what_was_not_kept_is_not_known": "nothing is known",
    "test_rejects_are_kept_with_their_request": "rejects are kept nowhere",
    "test_the_oldest_rejects_make_room": "rejects are kept nowhere",
    "test_rejects_of_a_refused_append_are_not_kept": "rejects are kept nowhere",
    "test_what_a_forgotten_user_sends_is_refused": "the sink: test_a_forgotten_user_is_left_out of test_sink",
}


class Kinesis:
    """The journal over a stream of one shard for each folder that is named."""

    def __init__(self) -> None:
        self.client = boto3.client("kinesis")
        self.streams: dict[Path, str] = {}

    def open(
        self,
        folder: Path,
        max_actions: int = PLENTY,  # noqa: ARG002 - a stream has no such limit
        max_waiting_bytes: int = PLENTY,
        max_reject_bytes: int = PLENTY,  # noqa: ARG002 - nor keeps rejects
    ) -> KinesisJournal:
        """See `Fitting.open`."""
        if folder not in self.streams:
            self.streams[folder] = f"j{random.getrandbits(64):x}"
            self.client.create_stream(StreamName=self.streams[folder], ShardCount=1)
            self.client.get_waiter("stream_exists").wait(StreamName=self.streams[folder], WaiterConfig={"Delay": 1})
        return KinesisJournal(StreamAddress(self.streams[folder]), max_waiting_bytes=max_waiting_bytes)

    def kept(self, folder: Path) -> list[Row]:
        """See `Fitting.kept`; seqs as a sink would give them."""
        found = [record.decode(data, zstandard.ZstdDecompressor()) for data in self.records(folder)]
        kept = [json.loads(one.actions) for one in found]
        seqs = accumulate([len(actions) for actions in kept], initial=1)
        return [
            Row(seq, one.user_id, one.session_id, [action["properties"]["name"] for action in actions])
            for seq, one, actions in zip(seqs, found, kept, strict=False)
        ]

    def records(self, folder: Path) -> list[bytes]:
        """What the stream of a folder holds."""
        name = {"StreamName": self.streams[folder]}
        shard = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        start = self.client.get_shard_iterator(**name, **shard)["ShardIterator"]
        return [one["Data"] for one in self.client.get_records(ShardIterator=start, Limit=10_000)["Records"]]

    def rejects(self, folder: Path) -> list[RejectRow]:
        """See `Fitting.rejects`."""
        raise NotImplementedError(folder)

    def empty(self, folder: Path) -> None:
        """See `Fitting.empty`."""
        raise NotImplementedError(folder)

    def bury(self, folder: Path, user: str, days: float | None) -> None:
        """See `Fitting.bury`."""
        raise NotImplementedError(folder, user, days)


@pytest.fixture
def fitting(aws: dict[str, str]) -> Iterator[Kinesis]:
    """Streams of the test's own."""
    assert "AWS_ENDPOINT_URL_KINESIS" in aws
    made = Kinesis()
    yield made
    for name in made.streams.values():
        made.client.delete_stream(StreamName=name)


@pytest.fixture
def one(aws: dict[str, str], s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[Brook]:
    """An empty stream of one shard, and an empty table."""
    with brook(kinesis.endpoint, glue.endpoint, aws["AWS_ENDPOINT_URL_S3"], s3.bucket, shards=1) as made:
        yield made


@pytest.mark.parametrize("test", APPLY, ids=lambda test: test.__name__)
def test_the_suite(test: Any, fitting: Kinesis, tmp_path: Path) -> None:
    """What applies of the conformance suite of journals holds for this one."""
    test(fitting, tmp_path)


def test_every_test_of_the_suite_is_decided_on() -> None:
    """Each test of the conformance suite of journals applies here, or it is said why not and what holds instead."""
    there = {name for module in (suite, once_suite) for name in vars(module) if name.startswith("test_")}
    assert there == {test.__name__ for test in APPLY} | OTHERWISE.keys()
    assert not {test.__name__ for test in APPLY} & OTHERWISE.keys()


def test_a_key_makes_the_same_batches(one: Brook) -> None:
    """A request that comes again with its key, at once or later, is answered alike and is in the table once."""
    sent = [batch(1), batch(2, "BORIS"), batch(3)]

    async def work() -> None:
        journal = KinesisJournal(one.stream, max_waiting_bytes=PLENTY)
        both = [journal.append(sent, once("k")), journal.append(sent, once("k"))]
        assert set(await asyncio.gather(*both)) == {ALL_NEW}
        assert await journal.append(sent, once("k")) == ALL_NEW
        assert await journal.append(sent, once("another")) == ALL_NEW
        await journal.close()

    run(work)
    assert one.sink().duplicates == 6
    assert [number for _, _, number, _ in one.found()] == [1, 1, 3, 3, 2, 2]  # by user: of each key once


def test_a_batch_over_a_records_limit_is_cut(one: Brook) -> None:
    """A batch of several megabytes that does not shrink is in the table whole, and again only once with its key."""
    noise = random.Random(5)
    large = batch(1, actions=60, id=None)
    actions = [{**action, "properties": {**action["properties"], "noise": noise.randbytes(25_000).hex()}}
               for action in json.loads(large.actions)]  # fmt: skip
    large = large._replace(actions=json.dumps(actions).encode())
    assert len(large.actions) > 3 * record.MAX_RECORD // 2

    async def work() -> None:
        journal = KinesisJournal(one.stream, max_waiting_bytes=PLENTY)
        for _ in range(2):
            assert await journal.append([large, batch(2)], once("k")) == ALL_NEW
        await journal.close()

    run(work)
    one.sink()
    assert [(number, n) for _, _, number, n in one.found()] == [*((1, n) for n in range(60)), (2, 0)]
    kept = {row["properties"] for row in one.rows()}
    assert {json.dumps(action["properties"], separators=(",", ":")) for action in actions} <= kept


class Flaky:
    """A client of which PutRecords refuses every other new record until it has been asked for it so many times."""

    def __init__(self, client: Any, code: str, times: int = 3) -> None:
        self.client = client
        self.code = code
        self.times = times
        self.asked: dict[bytes, int] = {}
        self.chosen: set[bytes] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Pass on what is not refused."""
        refused = []
        for place, one in enumerate(Records):
            if one["Data"] not in self.asked and len(self.asked) % 2:
                self.chosen.add(one["Data"])
            self.asked[one["Data"]] = self.asked.get(one["Data"], 0) + 1
            if one["Data"] in self.chosen and self.asked[one["Data"]] < self.times:
                refused.append(place)
        taken = [one for place, one in enumerate(Records) if place not in refused]
        results = iter(self.client.put_records(StreamName=StreamName, Records=taken)["Records"] if taken else ())
        error = {"ErrorCode": self.code, "ErrorMessage": "slow down"}
        return {"Records": [error if place in refused else next(results) for place in range(len(Records))]}


def test_partial_failures_are_sent_again(fitting: Kinesis, tmp_path: Path) -> None:
    """Of records of which some are refused again and again each is in the stream once, and said to be only then."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        journal._stream = journal._stream._replace(client=Flaky(fitting.client, THROTTLED))
        found = await asyncio.gather(*[journal.append(entries(f"{place}")) for place in range(60)])
        assert set(found) == {ALL_NEW}
        await journal.close()

    run(work)
    assert sorted(names_of(fitting.kept(tmp_path))) == sorted(f"{place}" for place in range(60))


def test_throttled_beyond_the_bound_is_told(fitting: Kinesis, tmp_path: Path) -> None:
    """Requests with a record that a shard does not take get JournalFull; the others are kept, and so is what comes."""

    async def work() -> None:
        await fitting.open(tmp_path).close()
        journal = KinesisJournal(StreamAddress(fitting.streams[tmp_path]), max_waiting_bytes=PLENTY, bound=1.0)
        stream = journal._stream
        flaky = Flaky(fitting.client, THROTTLED, times=10**6)
        journal._stream = stream._replace(client=flaky)
        found = await asyncio.gather(
            *[journal.append(entries(f"{place}")) for place in range(20)], return_exceptions=True
        )
        kept = [place for place, one in enumerate(found) if one == ALL_NEW]
        assert kept
        assert all(isinstance(one, JournalFull) for one in found if one != ALL_NEW)
        assert len(kept) < 20
        assert journal.trouble() is None
        assert set(names_of(fitting.kept(tmp_path))) == {f"{place}" for place in kept}
        journal._stream = stream
        assert await journal.append(entries("after")) == ALL_NEW
        await journal.close()

    run(work)


class Shut:
    """A client whose stream takes nothing."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Refuse each record."""
        assert StreamName
        return {"Records": [{"ErrorCode": THROTTLED, "ErrorMessage": "slow down"} for _ in Records]}


def test_what_would_be_refused_is_known_before(fitting: Kinesis, tmp_path: Path) -> None:
    """While every shard refuses, more waits than may, or the stream fails, a request is refused unread; not after."""

    async def work() -> None:
        await fitting.open(tmp_path).close()
        journal = KinesisJournal(StreamAddress(fitting.streams[tmp_path]), max_waiting_bytes=10, bound=0.2)
        stream = journal._stream
        assert journal.refusal() is None
        journal._stream = stream._replace(client=Shut(fitting.client))
        waits = journal.append(entries("waits"))
        assert journal.waiting_bytes > 10
        assert isinstance(journal.refusal(), JournalFull)
        with pytest.raises(JournalFull, match="takes no more just now"):
            await waits
        assert journal.waiting_bytes == 0
        assert "takes no more just now" in str(journal.refusal())
        journal._stream = stream
        assert await journal.append(entries("taken")) == ALL_NEW
        await asyncio.sleep(FULL_SECONDS)
        assert journal.refusal() is None
        journal._stream = stream._replace(name="nowhere")
        with pytest.raises(JournalFailed):
            await journal.append(entries("lost"))
        assert isinstance(journal.refusal(), JournalFailed)
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["taken"]


def test_a_shard_that_is_full_alone_does_not_close_the_stream(fitting: Kinesis, tmp_path: Path) -> None:
    """Where some records of a group are taken the next request is read: it may be for a shard that has room."""

    async def work() -> None:
        await fitting.open(tmp_path).close()
        journal = KinesisJournal(StreamAddress(fitting.streams[tmp_path]), max_waiting_bytes=PLENTY, bound=0.2)
        journal._stream = journal._stream._replace(client=Flaky(fitting.client, THROTTLED, times=10**6))
        found = await asyncio.gather(
            *[journal.append(entries(f"{place}")) for place in range(20)], return_exceptions=True
        )
        assert any(isinstance(one, JournalFull) for one in found)
        assert journal.refusal() is None
        await journal.close()

    run(work)


def test_a_stream_that_goes_and_comes_back(fitting: Kinesis, tmp_path: Path) -> None:
    """While the stream is not there appends fail with the command that makes it, and are taken soon after it is."""

    async def work() -> None:
        journal = fitting.open(tmp_path)
        assert await journal.append(entries("before")) == ALL_NEW
        name = fitting.streams[tmp_path]
        await asyncio.to_thread(fitting.client.delete_stream, StreamName=name)
        end = time.monotonic() + 30
        while "footpath setup aws" not in str(journal.trouble()):  # before, it is there and being deleted
            assert time.monotonic() < end
            with contextlib.suppress(JournalFailed):
                await journal.append(entries("lost"))
            await asyncio.sleep(0.05)
        with pytest.raises(JournalFailed, match="footpath setup aws"):
            await journal.append(entries("refused"))
        await asyncio.to_thread(fitting.client.get_waiter("stream_not_exists").wait, StreamName=name)
        await asyncio.to_thread(fitting.client.create_stream, StreamName=name, ShardCount=1)
        await asyncio.wait_for(suite.until_mended(journal), 30)
        assert await journal.append(entries("after")) == ALL_NEW
        await journal.close()

    run(work)
    assert names_of(fitting.kept(tmp_path)) == ["after"]


def test_what_is_missing_is_named(one: Brook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing stream, table, region, credential or server is one sentence with what mends it, without a traceback."""
    no_stream = one.stream._replace(stream="nowhere")
    with pytest.raises(BadSetting, match=r"nowhere in us-east-1 does not exist: make it with `footpath setup aws"):
        KinesisJournal(no_stream, max_waiting_bytes=1)
    no_table = one.address._replace(table="nowhere")
    unreached = one.stream._replace(endpoint="http://127.0.0.1:9")
    for stream, table, said in (
        (no_stream, one.address, "footpath setup aws"),
        (one.stream, no_table, "lake.nowhere in catalog glue does not exist: make it with `footpath setup aws"),
        (unreached, one.address, "cannot be reached"),
    ):
        told = footpath("sink", "--once", "--journal", str(stream), "--table", str(table), code=1).stderr
        assert said in told
        assert told.count("\n") == 1
        assert told.startswith("footpath: ")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    told = footpath(*one.sink_words(), "--once", code=1).stderr
    assert "no AWS credentials were found" in told
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert "no AWS region is known" in footpath(*one.sink_words(), "--once", code=1).stderr

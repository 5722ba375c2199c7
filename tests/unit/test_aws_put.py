"""How a group of records is put: what was refused is sent again, what was taken is not, and there is an end."""

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from footpath.aws.put import BOUND_SECONDS, LONGEST_PAUSE, Blob, Outcome, Stream, put
from footpath.errors import JournalFailed, JournalFull

THROTTLED = "ProvisionedThroughputExceededException"


class Script:
    """A client that answers as it is told: a code for each record (None: taken), or an error for the request."""

    def __init__(self, *answers: dict[str, str | None] | Exception) -> None:
        self.answers = list(answers)
        self.taken: list[str] = []
        self.asked: list[list[str]] = []

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Answer."""
        assert StreamName == "clicks"
        self.asked.append([one["PartitionKey"] for one in Records])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        codes = [answer.get(one["PartitionKey"]) for one in Records]
        self.taken += [one["PartitionKey"] for one, code in zip(Records, codes, strict=True) if code is None]
        results = [
            {"SequenceNumber": "1"} if code is None else {"ErrorCode": code, "ErrorMessage": "no"} for code in codes
        ]
        return {"FailedRecordCount": sum(code is not None for code in codes), "Records": results}


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        self.slept.append(seconds)


def run(script: Script, *keys: str, clock: Clock | None = None) -> Outcome:
    """Put a record for each key."""
    clock = clock or Clock()
    stream = Stream(script, "clicks", "the stream clicks in x", "make it")
    return put(stream, [Blob(b"x", key) for key in keys], clock=lambda: clock.now, sleep=clock.sleep)


def refused(code: str, status: int = 400) -> ClientError:
    """What botocore raises for a code."""
    told: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "PutRecords")


def test_only_what_was_refused_is_sent_again() -> None:
    """Of a request that was taken in part, only the rest is sent again, until all is in."""
    script = Script({"a": THROTTLED, "c": "InternalFailure"}, {"c": THROTTLED}, {})
    assert run(script, "a", "b", "c") == Outcome([None, None, None])
    assert script.asked == [["a", "b", "c"], ["a", "c"], ["c"]]
    assert sorted(script.taken) == ["a", "b", "c"]


def test_throttled_for_too_long_is_full() -> None:
    """What a shard refuses until the bound ends in JournalFull for its records alone, without trouble for the rest."""
    clock = Clock()
    script = Script({"a": THROTTLED})
    errors, trouble = run(script, "a", "b", clock=clock)
    assert isinstance(errors[0], JournalFull)
    assert errors[1] is None
    assert trouble is None
    assert BOUND_SECONDS - LONGEST_PAUSE <= clock.now <= BOUND_SECONDS


def test_pauses_grow_and_differ() -> None:
    """The pauses between tries are random, longer and longer, and never above the longest."""
    clock = Clock()
    random.seed(7)
    run(Script({"a": THROTTLED}), "a", clock=clock)
    assert max(clock.slept) <= LONGEST_PAUSE
    assert max(clock.slept) > 10 * clock.slept[0]
    assert len(set(clock.slept)) == len(clock.slept)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (refused("ResourceNotFoundException"), "does not exist: make it with `make it`"),
        (refused("AccessDeniedException"), "kinesis:PutRecords"),
        (refused("ExpiredTokenException"), "credentials"),
        (NoCredentialsError(), "AWS_PROFILE"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(error: Exception, named: str) -> None:
    """A missing stream, permission or credential fails at once, and the sentence says how it is mended."""
    script = Script(error)
    errors, trouble = run(script, "a", "b")
    assert len(script.asked) == 1
    assert all(isinstance(one, JournalFailed) for one in errors)
    assert trouble is not None
    assert named in trouble


def test_what_nobody_answered_is_sent_again() -> None:
    """When no answer came, all is sent again; when none comes until the bound, it is trouble."""
    lost = EndpointConnectionError(endpoint_url="http://nowhere")
    script = Script(lost, refused("InternalFailure", 500), {})
    assert run(script, "a", "b") == Outcome([None, None])
    assert script.asked == [["a", "b"]] * 3
    errors, trouble = run(Script(lost), "a")
    assert isinstance(errors[0], JournalFailed)
    assert trouble is not None
    assert "cannot be reached" in trouble


@given(st.lists(st.lists(st.sampled_from([None, THROTTLED, "InternalFailure"]), min_size=5, max_size=5), max_size=6))
def test_yes_is_said_of_what_is_in(tries: list[list[str | None]]) -> None:
    """Whatever is refused in whichever order, a record without an error was taken once, and one with an error never."""
    keys = "abcde"
    script = Script(*[dict(zip(keys, codes, strict=True)) for codes in tries], {"a": THROTTLED})
    errors, _ = run(script, *keys)
    assert sorted(script.taken) == [key for key, error in zip(keys, errors, strict=True) if error is None]

"""Faults that pass, put between footpath and a real Glue by botocore's own hooks: no sink ends by them."""

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError

from footpath.aws import clients, sinking
from footpath.aws.sink import Limits
from footpath.aws.table import catalog_of, first_look, open_table
from footpath.errors import BadSetting, CommandFailed
from tests.scale import servers
from tests.scale.brook import Brook, batch, brook, names
from tests.system.conftest import wait_until

Fault = Callable[[AWSRequest], AWSResponse]
SECONDS = 120.0


class _Body(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


def says(status: int, code: str) -> Fault:
    """An answer of Glue's with an error."""

    def fault(request: AWSRequest) -> AWSResponse:
        body = _Body(f'{{"__type": "{code}", "message": "made for a test"}}'.encode())
        return AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.1"}, body)

    return fault


def silent(request: AWSRequest) -> AWSResponse:
    """No answer in time."""
    raise ReadTimeoutError(endpoint_url=request.url)


PASSING = [
    says(400, "ThrottlingException"),
    says(400, "OperationTimeoutException"),
    says(500, "InternalServiceException"),
    says(503, "ServiceUnavailable"),
    silent,
]


class Faulty:
    """The catalog of a table, whose Glue answers GetTable with the faults that are put in, one a call."""

    def __init__(self, one: Brook) -> None:
        """Without faults yet."""
        self.catalog = catalog_of(one.address)
        self.faults: list[Fault] = []
        self.catalog.glue.meta.events.register("before-send.glue.GetTable", self._answer)  # type: ignore[attr-defined]

    def _answer(self, request: AWSRequest, **_: Any) -> AWSResponse | None:
        return self.faults.pop(0)(request) if self.faults else None


@pytest.fixture
def one(aws: dict[str, str], s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[Brook]:
    """An empty stream of one shard, and an empty table."""
    with brook(kinesis.endpoint, glue.endpoint, aws["AWS_ENDPOINT_URL_S3"], s3.bucket, shards=1) as made:
        yield made


def test_a_running_sink_outlives_what_passes(one: Brook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink whose Glue throttles, fails and is silent goes on, and brings what came meanwhile in, once."""
    faulty = Faulty(one)
    monkeypatch.setattr(sinking, "catalog_of", lambda _: faulty.catalog)
    monkeypatch.setattr(sinking, "FIRST_PAUSE", 0.1)
    failed: list[BaseException] = []

    def watch() -> None:
        try:
            one.put([batch(1)])
            wait_until("the first batch is there", lambda: one.found() == names([batch(1)]), SECONDS)
            faulty.faults += PASSING
            one.put([batch(2)])
            wait_until("the second is, too", lambda: one.found() == names([batch(1), batch(2)]), SECONDS)
            assert not faulty.faults
        except BaseException as error:  # noqa: BLE001 - it is raised where pytest sees it
            failed.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        sinking.run(sinking.Plan(one.stream, one.address, Limits(1, 64 << 20), "256MB"))
    finally:
        thread.join()
    if failed:
        raise failed[0]


def test_what_passes_is_no_bad_setting(one: Brook) -> None:
    """What passes is raised as it came, and ends a command that begins with it as what can be tried again."""
    faulty = Faulty(one)
    for fault in PASSING:
        faulty.faults = [fault]
        with pytest.raises(clients.AwsError) as told:
            open_table(faulty.catalog, one.address)
        assert clients.passes(told.value)
        faulty.faults = [fault]
        with pytest.raises(CommandFailed, match="start again in a moment"):
            first_look(faulty.catalog, one.address)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("EntityNotFoundException", "does not exist: make it with `footpath setup aws"),
        ("AccessDeniedException", "permission glue:GetTable and s3:GetObject is missing"),
        ("UnrecognizedClientException", "AWS refuses the credentials"),
    ],
)
def test_what_does_not_pass_is_a_bad_setting(one: Brook, code: str, said: str) -> None:
    """A table that is not there, a permission that is missing and keys that are refused are, with what mends them."""
    faulty = Faulty(one)
    faulty.faults = [says(400, code)]
    with pytest.raises(BadSetting, match=said):
        open_table(faulty.catalog, one.address)

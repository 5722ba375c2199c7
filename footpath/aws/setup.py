"""What footpath needs in AWS, looked up, and made where it is missing.

Each step looks first and changes only what is not as it should be, so all of it can be run again at any time. Nothing
is ever made smaller or removed: a stream that keeps records for longer, or a table with more properties, stays so.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

from footpath.aws import clients
from footpath.aws.address import StreamAddress, TableAddress
from footpath.aws.table import PROPERTIES, catalog_of, make_table, where
from footpath.errors import CommandFailed

ACTIVE_SECONDS = 300  # within which a stream that is made or changed becomes ACTIVE; most often ten
LOOK_SECONDS = 0.5
ENGINE = "Athena engine version 3"


class Step(NamedTuple):
    """One thing: what it is, what of it is there (None: not as it should be), what would be done, and doing it."""

    what: str
    look: Callable[[], str | None]
    plan: str
    make: Callable[[], object]


class WorkGroup(NamedTuple):
    """An Athena work group, and where on S3 its results go."""

    name: str
    results: str
    region: str | None = None
    endpoint: str | None = None


class _Stream:
    """The stream of an address, there or not."""

    def __init__(self, address: StreamAddress, shards: int | None, retention_hours: int) -> None:
        self._client = clients.client("kinesis", address.region, address.endpoint)
        self._name = {"StreamName": address.stream}
        self._shards = shards
        self._hours = retention_hours
        self.what = f"the stream {address.stream} in {self._client.meta.region_name}"

    def stream(self) -> str | None:
        try:
            told = self._told()
        except self._client.exceptions.ResourceNotFoundException:
            return None
        mode = told.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
        return f"{told['OpenShardCount']} shards, {mode}"

    def make(self) -> None:
        mode: dict[str, Any] = {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}
        self._client.create_stream(**self._name, **(mode if self._shards is None else {"ShardCount": self._shards}))
        self._settle()

    def retention(self) -> str | None:
        hours = self._told()["RetentionPeriodHours"]
        return f"{hours} hours" if hours >= self._hours else None

    def keep(self) -> None:
        self._client.increase_stream_retention_period(**self._name, RetentionPeriodHours=self._hours)
        self._settle()

    def encryption(self) -> str | None:
        return "with KMS" if self._told().get("EncryptionType") == "KMS" else None

    def encrypt(self) -> None:
        self._client.start_stream_encryption(**self._name, EncryptionType="KMS", KeyId="alias/aws/kinesis")
        self._settle()

    def _told(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.describe_stream_summary(**self._name)["StreamDescriptionSummary"]
        return answer

    def _settle(self) -> None:
        until = time.monotonic() + ACTIVE_SECONDS
        while (status := self._told()["StreamStatus"]) != "ACTIVE":
            if time.monotonic() > until:
                raise CommandFailed(f"{self.what} is {status} for {ACTIVE_SECONDS} s: look at it, and run this again")
            time.sleep(LOOK_SECONDS)


def stream_steps(address: StreamAddress, *, shards: int | None, retention_hours: int) -> Iterator[Step]:
    """A stream that keeps records long enough, encrypted.

    Args:
        address: of the stream.
        shards: how many; None for as many as AWS finds are needed.
        retention_hours: for which it keeps records.
    """
    stream = _Stream(address, shards, retention_hours)
    records = f"records in {address.stream} are"
    size = "on demand" if shards is None else f"with {shards} shards"
    yield Step(stream.what, stream.stream, f"made, {size}", stream.make)
    yield Step(f"{records} kept", stream.retention, f"set to {retention_hours} hours", stream.keep)
    yield Step(f"{records} encrypted", stream.encryption, "set to KMS, with alias/aws/kinesis", stream.encrypt)


def table_steps(address: TableAddress) -> Iterator[Step]:
    """The table, with the properties that the sink and its readers need."""
    catalog: Catalog = catalog_of(address)
    name = (address.namespace, address.table)

    def table() -> str | None:
        try:
            return catalog.load_table(name).location()
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def lacking() -> dict[str, str]:
        there = catalog.load_table(name).metadata.properties
        return {key: value for key, value in PROPERTIES.items() if key != "format-version" and there.get(key) != value}

    def properties() -> str | None:
        return None if lacking() else "as they should be"

    def put() -> None:
        with catalog.load_table(name).transaction() as transaction:
            transaction.set_properties(lacking())

    at = f", with its files in {address.warehouse}" if address.warehouse else ""
    yield Step(
        where(address), table, f"made{at}, a partition a day, sorted by user", lambda: make_table(catalog, address)
    )
    yield Step(f"properties of {address.namespace}.{address.table}", properties, "set as footpath needs them", put)


def work_group_steps(group: WorkGroup) -> Iterator[Step]:
    """The Athena work group that queries run in."""
    client = clients.client("athena", group.region, group.endpoint)

    def names() -> Iterator[str]:
        asked: dict[str, str] = {}
        while True:
            answer = client.list_work_groups(**asked)
            yield from (found["Name"] for found in answer["WorkGroups"])
            if not answer.get("NextToken"):
                return
            asked = {"NextToken": answer["NextToken"]}

    def look() -> str | None:
        if group.name not in set(names()):
            return None
        told = client.get_work_group(WorkGroup=group.name)["WorkGroup"]["Configuration"]
        return f"results in {told.get('ResultConfiguration', {}).get('OutputLocation', 'no place of its own')}"

    def make() -> None:
        client.create_work_group(
            Name=group.name,
            Description="footpath's reads",
            Configuration={
                "ResultConfiguration": {"OutputLocation": group.results},
                "EnforceWorkGroupConfiguration": True,
                "PublishCloudWatchMetricsEnabled": True,
                "EngineVersion": {"SelectedEngineVersion": ENGINE},
            },
        )

    yield Step(
        f"the work group {group.name} in {client.meta.region_name}", look, f"made, results in {group.results}", make
    )


def take(step: Step, *, apply: bool) -> tuple[bool, str]:
    """Look at a step, and do it if it is wanted; whether all is as it should be now, and a line that says so.

    Raises:
        CommandFailed: AWS refuses; the message says what is missing.
    """
    try:
        there = step.look()
        if there is not None:
            return True, f"{step.what}: {there}"
        if apply:
            step.make()
            return True, f"{step.what}: {step.plan}"
    except clients.AwsError as error:
        if not apply and clients.is_missing(error):
            return False, f"{step.what}: would be {step.plan}"
        permission = "to describe and make it"
        make = "footpath setup aws … --apply"
        raise CommandFailed(clients.sentence(error, what=step.what, permission=permission, make=make)) from error
    except (NoSuchTableError, NoSuchNamespaceError):
        if apply:
            raise
        return False, f"{step.what}: would be {step.plan}"
    return False, f"{step.what}: would be {step.plan}"

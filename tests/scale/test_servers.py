"""The servers that the other tests of this folder stand on, and what footpath's sink needs of them."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from tests.scale import servers
from tests.scale.sql import rows

SCHEMA = pa.schema([("user_id", pa.string()), ("seq", pa.int64())])


@pytest.fixture
def catalog(aws: dict[str, str], s3: servers.S3, glue: servers.Glue) -> Catalog:
    """A Glue catalog with an empty database, `lake`."""
    catalog = load_catalog(
        "glue",
        **{
            "type": "glue",
            "glue.endpoint": glue.endpoint,
            "s3.endpoint": aws["AWS_ENDPOINT_URL_S3"],
            "warehouse": f"s3://{s3.bucket}/lake",
        },
    )
    catalog.create_namespace_if_not_exists("lake")
    return catalog


def table_of(catalog: Catalog, **properties: str) -> Table:
    """An empty table of its own name."""
    return catalog.create_table(f"lake.t{uuid.uuid4().hex}", schema=SCHEMA, properties=properties)


def batch(user: str, *numbers: int) -> pa.Table:
    """A user's rows."""
    return pa.table({"user_id": [user] * len(numbers), "seq": list(numbers)}, schema=SCHEMA)


def commit(table: Table, data: pa.Table, position: int) -> None:
    """Append rows and note a position, in one transaction, on the table as it was loaded."""
    with table.transaction() as transaction:
        transaction.append(data)
        transaction.set_properties({"position": str(position)})


def test_trino_reads_what_pyiceberg_has_committed(catalog: Catalog, trino: servers.Trino) -> None:
    """Rows that pyiceberg commits through Glue to S3 come out of a Trino query, with their table's properties."""
    table = table_of(catalog)
    commit(table, batch("ANNA", 1, 2), 2)
    name = table.name()[1]
    assert rows(trino, f"SELECT user_id, seq FROM lake.{name} ORDER BY seq") == [["ANNA", 1], ["ANNA", 2]]
    assert ["position", "2"] in rows(trino, f'SELECT key, value FROM lake."{name}$properties"')


def test_a_stale_commit_is_refused_when_retries_are_off(catalog: Catalog) -> None:
    """Of two appends to the same state of a table the second is refused, rows and position, with 0 retries."""
    first = table_of(catalog, **{"commit.retry.num-retries": "0"})
    second = catalog.load_table(first.name())
    commit(first, batch("ANNA", 1), 1)
    with pytest.raises(CommitFailedException):
        commit(second, batch("ANNA", 1), 1)
    assert catalog.load_table(first.name()).scan().to_arrow().num_rows == 1


def test_a_stale_commit_goes_through_when_retries_are_left_on(catalog: Catalog) -> None:
    """The trap: with pyiceberg's own retries the stale append is rebased and stored a second time."""
    first = table_of(catalog)
    second = catalog.load_table(first.name())
    commit(first, batch("ANNA", 1), 1)
    commit(second, batch("ANNA", 1), 1)
    assert catalog.load_table(first.name()).scan().to_arrow().num_rows == 2


def test_of_many_stale_commits_at_once_one_goes_through(catalog: Catalog) -> None:
    """Eight threads commit to the same state of a table at once, with 0 retries: one is stored, seven are refused."""
    table = table_of(catalog, **{"commit.retry.num-retries": "0"})
    loaded = [catalog.load_table(table.name()) for _ in range(8)]

    def refused(stale: Table) -> bool:
        try:
            commit(stale, batch("ANNA", 1), 1)
        except CommitFailedException:
            return True
        return False

    with ThreadPoolExecutor(len(loaded)) as pool:
        assert sorted(pool.map(refused, loaded)) == [False] + [True] * 7
    assert catalog.load_table(table.name()).scan().to_arrow().num_rows == 1


def test_s3_checks_signatures_and_conditions(aws: dict[str, str], s3: servers.S3) -> None:
    """A wrong secret is refused, and so is a put with If-None-Match over an object that exists."""
    key = f"conditions/{uuid.uuid4().hex}"
    client = boto3.client("s3", endpoint_url=aws["AWS_ENDPOINT_URL_S3"])
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": "wrong"}
    wrong = boto3.client("s3", endpoint_url=s3.endpoint, **keys)
    client.put_object(Bucket=s3.bucket, Key=key, Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=s3.bucket, Key=key, Body=b"second", IfNoneMatch="*")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.get_object(Bucket=s3.bucket, Key=key)
    assert client.get_object(Bucket=s3.bucket, Key=key)["Body"].read() == b"first"


def test_a_split_shard_ends_and_names_its_children(aws: dict[str, str]) -> None:
    """Reading a split shard to its end gives what was put before the split, then the two children."""
    stream = f"s{uuid.uuid4().hex}"
    client = boto3.client("kinesis", endpoint_url=aws["AWS_ENDPOINT_URL_KINESIS"])
    client.create_stream(StreamName=stream, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    client.put_record(StreamName=stream, PartitionKey="ANNA", Data=b"before")
    [parent] = client.list_shards(StreamName=stream)["Shards"]
    client.split_shard(StreamName=stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=str(2**127))
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    iterator = client.get_shard_iterator(
        StreamName=stream, ShardId=parent["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    seen: list[bytes] = []
    answer = {}
    while iterator:
        answer = client.get_records(ShardIterator=iterator)
        seen += [record["Data"] for record in answer["Records"]]
        iterator = answer.get("NextShardIterator")
    assert seen == [b"before"]
    assert len(answer["ChildShards"]) == 2

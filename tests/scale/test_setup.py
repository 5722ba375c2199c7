"""`footpath setup aws`: looks, makes what is missing, and can be run again at any time."""

import uuid

import boto3
import pytest

from tests.scale import servers
from tests.scale.brook import footpath


def test_it_is_made_once(
    aws: dict[str, str], s3: servers.S3, glue: servers.Glue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --apply nothing is made and it ends with 1; with it all is; afterwards there is nothing to do."""
    assert "AWS_ENDPOINT_URL_KINESIS" in aws
    monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", glue.endpoint)
    name = f"t{uuid.uuid4().hex}"
    words = ["setup", "aws", "--journal", f"kinesis://{name}", "--shards", "3", "--retention-hours", "48"]
    words += ["--table", f"iceberg://glue/{name}/actions?warehouse=s3://{s3.bucket}/{name}"]
    words += ["--workgroup", name, "--results", f"s3://{s3.bucket}/results"]
    before = footpath(*words, code=1).stdout.splitlines()
    assert len(before) == 6
    assert all(": would be " in line for line in before)
    made = footpath(*words, "--apply").stdout.splitlines()
    assert [line.partition(": ")[0] for line in made] == [line.partition(": ")[0] for line in before]
    again = footpath(*words).stdout
    assert again == footpath(*words, "--apply").stdout
    assert "would be" not in again
    told = boto3.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    assert (told["OpenShardCount"], told["RetentionPeriodHours"], told["EncryptionType"]) == (3, 48, "KMS")
    group = boto3.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]
    assert group["ResultConfiguration"]["OutputLocation"] == f"s3://{s3.bucket}/results"


def test_nothing_is_made_smaller(aws: dict[str, str], s3: servers.S3) -> None:
    """A stream that keeps records for longer stays so, and a table's changed property is set back."""
    assert "AWS_ENDPOINT_URL_GLUE" in aws
    name = f"t{uuid.uuid4().hex}"
    table = f"iceberg://glue/{name}/actions?warehouse=s3://{s3.bucket}/{name}"
    words = ["setup", "aws", "--journal", f"kinesis://{name}", "--table", table, "--shards", "1"]
    footpath(*words, "--retention-hours", "72", "--apply")
    assert "kept: 72 hours" in footpath(*words, "--retention-hours", "24").stdout
    from footpath.aws.address import table_address
    from footpath.aws.table import RETRIES, catalog_of, open_table

    address = table_address(table)
    with open_table(catalog_of(address), address).transaction() as transaction:
        transaction.set_properties({RETRIES: "4", "mine": "stays"})
    refused = footpath("sink", "--once", "--journal", f"kinesis://{name}", "--table", table, code=1).stderr
    assert f"{RETRIES} = 4" in refused
    assert "footpath setup aws" in refused
    footpath(*words, "--apply")
    assert open_table(catalog_of(address), address).metadata.properties["mine"] == "stays"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to look up"),
        (["--workgroup", "x"], "--results"),
        (["--journal", "s3://x"], "kinesis://"),
        (["--table", "iceberg://glue/x"], "iceberg://CATALOG/NAMESPACE/TABLE"),
    ],
)
def test_what_is_wrong_is_told(words: list[str], said: str, aws: dict[str, str]) -> None:
    """A wrong option is one sentence that shows the right one."""
    assert aws
    told = footpath("setup", "aws", *words, code=1).stderr
    assert said in told
    assert told.count("\n") == 1

"""`make aws-smoke`, as far as it goes without an account: against the servers of loopback, with Trino for Athena."""

import os
import re
import subprocess
import sys

import boto3
import pytest

from tests.proof import ROOT
from tests.scale import servers

SECONDS = 300


def smoke(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, "-m", "tests.scale.smoke", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=ROOT, env=os.environ
    )


def left_over(name: str, bucket: str) -> list[str]:
    """What still is there of a name."""
    found = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
    found += [one["Name"] for one in boto3.client("glue").get_databases()["DatabaseList"]]
    found += boto3.client("kinesis").list_streams()["StreamNames"]
    found += [one["Name"] for one in boto3.client("athena").list_work_groups()["WorkGroups"]]
    return [one for one in found if name in one]


@pytest.fixture
def bucket(aws: dict[str, str], s3: servers.S3, glue: servers.Glue, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket; work groups are those of moto."""
    assert aws
    monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", glue.endpoint)
    return s3.bucket


def test_it_goes_all_the_way_and_leaves_nothing(bucket: str, trino: servers.Trino) -> None:
    """It makes all, finds every answer as it should be, says what it costs, and removes all that it made."""
    done = smoke("--bucket", bucket, "--find", trino.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all is well\n")
    assert "USD" in done.stdout
    (name,) = set(re.findall(r"footpath_smoke_[0-9a-f]{10}", done.stdout))
    assert done.stdout.count("removed: ") == 5
    assert left_over(name, bucket) == []


def test_it_leaves_nothing_when_it_fails(bucket: str) -> None:
    """When something is not as it should be, it says what, ends with 1, and has removed all that it made."""
    done = smoke("--bucket", bucket, "--find", "trino://127.0.0.1:1/none")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "does not answer" in done.stdout
    (name,) = set(re.findall(r"footpath_smoke_[0-9a-f]{10}", done.stdout))
    assert left_over(name, bucket) == []

"""All of footpath past one machine, once, against an AWS account: `make aws-smoke BUCKET=NAME`.

It makes a stream, a table, a work group and files below a prefix of the bucket, all with one random name, runs a sink
and a server over them, submits, reads back until the answer says that it has everything, forgets, and removes what it
made, also when something failed on the way. Credentials come as boto3 finds them. It ends with 0 if all was as it
should be, with 1 and a sentence otherwise, and always says what is left, if anything is.

Leaves out: load, resharding, faults. Those have tests that need no account.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.system.conftest import Server, wait_until

START_SECONDS = 120.0
SETTLE_SECONDS = 300.0  # a sink commits every five seconds here; Athena takes a few for each answer
COST = "a shard for some minutes, a few commits to S3 and some 20 Athena queries of 10 MB at most: under 0.05 USD"


class Failed(Exception):
    """Something was not as it should be; `str()` is a sentence."""


def say(text: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def expect(what: str, found: object, wanted: object) -> None:
    """Say that something is as it should be.

    Raises:
        Failed: it is not.
    """
    if found != wanted:
        raise Failed(f"{what}: found {found!r} in the place of {wanted!r}")
    say(f"ok  {what}")


def footpath(*words: str) -> str:
    """Run a command of footpath's to its end; what it prints.

    Raises:
        Failed: it ended with another code than 0.
    """
    done = subprocess.run([sys.executable, "-m", "footpath", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"footpath {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def remove(what: str, step: Callable[[], object], left: list[str]) -> None:
    """Remove something, which need not be there; where that fails it is noted as left."""
    try:
        step()
    except (BotoCoreError, ClientError) as error:
        named = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        absent = named in {"ResourceNotFoundException", "EntityNotFoundException"} or "not found" in str(error).lower()
        if not absent:
            left.append(what)
            say(f"NOT removed: {what}: {error}")
        return
    say(f"removed: {what}")


def empty(bucket: str, prefix: str) -> None:
    """Delete every object below a prefix."""
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=one["Key"])


def promise_to_remove(stack: ExitStack, name: str, bucket: str, left: list[str]) -> None:
    """Have everything of this name removed when the stack is left, whatever is there then."""
    kinesis, glue, athena = boto3.client("kinesis"), boto3.client("glue"), boto3.client("athena")
    group = f"the Athena work group {name}"
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"s3://{bucket}/{name}/", lambda: empty(bucket, f"{name}/")),
        (group, lambda: athena.delete_work_group(WorkGroup=name, RecursiveDeleteOption=True)),
        (f"the Glue database {name}", lambda: glue.delete_database(Name=name)),
        (f"the Glue table {name}.actions", lambda: glue.delete_table(DatabaseName=name, Name="actions")),
        (f"the stream {name}", lambda: kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)),
    ]
    for what, step in steps:  # the last one is done first
        stack.callback(remove, what, step, left)


def visit(user: str, minute: int) -> dict[str, Any]:
    """A batch of two actions."""
    return {
        "userId": user,
        "sessionId": f"s{minute}",
        "actions": [
            {
                "time": f"2026-03-01T12:{minute:02}:00+01:00",
                "type": "NAVIGATE",
                "properties": {"pageFrom": "home", "pageTo": "it's"},
            },
            {"time": f"2026-03-01T12:{minute:02}:01+01:00", "type": "CLICK", "properties": {"locationX": minute}},
        ],
    }


def look(server: Server, settle: Callable[[], None]) -> None:
    """Submit, read back, forget.

    Raises:
        Failed: an answer is not what it should be.
    """
    sent = [visit("smoke", minute) for minute in (1, 2)]
    for _ in range(2):
        answer = server.submit(sent, {"Idempotency-Key": "once"})
        expect("a submit is answered", (answer.status_code, answer.json().get("accepted")), (200, 4))
    wrong = {**visit("smoke", 3), "actions": [{"time": "yesterday", "type": "CLICK"}]}
    answer = server.submit([wrong, visit("other", 4)])
    expect("a bad action is named", [one["code"] for one in answer.json()["rejected"]], ["bad_time"])
    settle()
    expect("the path is read back, once", server.retrieve(userId="smoke").json(), sent)
    expect("a filter keeps to what is asked", len(server.retrieve(logType="click", sessionId="s4").json()), 1)
    told = server.client.get("/api/sessions", params={"userId": "smoke"}).json()
    expect("sessions are summed up", [one["actions"] for one in told["sessions"]], [2, 2])
    day = {"fromTime": "2026-03-01", "toTime": "2026-03-01"}
    told = server.client.get("/api/flows", params=day).json()
    expect("flows are summed up", told["flows"], [{"from": "home", "to": "it's", "count": 3}])
    answer = server.client.delete("/api/users/smoke", timeout=SETTLE_SECONDS)
    expect("forgetting gives a receipt", (answer.status_code, answer.json().get("actions")), (200, 4))
    expect("nothing is found of who is forgotten", server.retrieve(userId="smoke").json(), [])
    expect("others stay", server.retrieve(userId="other").json(), [visit("other", 4)])


def run(bucket: str, find: str | None, stack: ExitStack, left: list[str]) -> None:
    """Make all, look at it, and leave what is to be removed on the stack.

    Raises:
        Failed: something was not as it should be.
    """
    name = f"footpath_smoke_{uuid.uuid4().hex[:10]}"
    journal, table = f"kinesis://{name}", f"iceberg://glue/{name}/actions?warehouse=s3://{bucket}/{name}"
    find = f"{find}/{name}" if find else f"athena://{name}?workgroup={name}"
    say(f"{name} in {boto3.session.Session().region_name}, files in s3://{bucket}/{name}/; it costs about: {COST}")
    promise_to_remove(stack, name, bucket, left)
    wanted = ["setup", "aws", "--journal", journal, "--table", table, "--shards", "1", "--retention-hours", "24"]
    wanted += ["--workgroup", name, "--results", f"s3://{bucket}/{name}/results"]
    say(footpath(*wanted, "--apply").strip())
    expect("setup finds all that it made", "would be" in footpath(*wanted), False)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footpath-smoke-")))
    log = folder / "sink.log"
    sink_words = ["sink", "--journal", journal, "--table", table, "--interval", "5", "--log", "json"]
    output = stack.enter_context(log.open("wb"))
    sink = subprocess.Popen([sys.executable, "-m", "footpath", *sink_words], stdout=output, stderr=output)
    stack.callback(sink.wait)
    stack.callback(sink.terminate)
    server = Server(folder / "none", {}, ["--journal", journal, "--find", find, "--table", table])
    stack.callback(lambda: server.url and server.stop())
    server.start(START_SECONDS)

    def settle() -> None:
        now = datetime.now(UTC)

        def complete() -> bool:
            if sink.poll() is not None:
                raise Failed(f"the sink ended: {log.read_text(encoding='utf-8').strip()[-500:]}")
            answer = server.retrieve(userId="nobody")
            if answer.status_code != 200:
                raise Failed(f"a read: {answer.text}")
            told = answer.headers["x-footpath-complete-until"]
            return told != "unknown" and datetime.fromisoformat(told) >= now

        wait_until("the table has what was submitted", complete, SETTLE_SECONDS)

    look(server, settle)


def main() -> int:
    """Do it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--bucket", required=True, help="an S3 bucket of yours; files go below a new prefix")
    parser.add_argument("--find", help="a Trino over the same Glue, trino://HOST:PORT/CATALOG, in the place of Athena")
    given = parser.parse_args()
    left: list[str] = []
    failure = ""
    try:
        with ExitStack() as stack:
            run(given.bucket, given.find, stack, left)
    except (Failed, AssertionError, OSError, TimeoutError, BotoCoreError, ClientError) as error:
        failure = f"{type(error).__name__}: {error}"
    if failure:
        say(f"FAILED  {failure}")
    if left:
        say(f"remove by hand: {json.dumps(left)}")
    if not failure and not left:
        say("all is well")
    return 1 if failure or left else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())

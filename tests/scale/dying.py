"""`footpath sink`, run again and again, each life ending at a step that it is told: `dying.py < LIVES > ENDS`.

Each line of its input is a life, as JSON:

    {"arguments": […], "step": "before UpdateTable", "number": 2, "seconds": 20}

A process is forked that runs the command with these arguments, and kills itself as `kill -9` does around the call to
AWS that is named so, when it comes for that time; at the step "any moment" within `seconds` of its first read. A life
that has not met its end after `seconds` is told to stop, with SIGTERM. Each line of the output says how a life ended:

    {"status": …, "died": "before UpdateTable" or null, "steps": [every step that was met]}

With "control" in a life the sink takes a table on which pyiceberg itself tries refused commits again.
"""

import json
import os
import random
import signal
import sys
import threading
from functools import cache
from typing import Any

import boto3
from botocore.client import BaseClient
from botocore.loaders import JSONFileLoader

from footpath.aws import sinking as _sinking  # noqa: F401 - so that no life waits for it
from footpath.aws import table
from footpath.cli.main import app

ANY_MOMENT = "any moment"
CONTROL = "footpath.control"  # the property that stands for that of the retries, in the control
_FIRST_READ = "before GetRecords"
_KINDS = (("/data/", "data"), (".metadata.json", "metadata"), ("/snap-", "manifest list"), (".avro", "manifest"))


def named(operation: str, asked: dict[str, Any]) -> str:
    """A call to AWS by its name, and for an object what it is."""
    key = asked.get("Key", "")
    return " ".join([operation, *[name for part, name in _KINDS if part in key][:1]])


def say(ends: int, died: str | None, met: dict[str, int]) -> None:
    """Say how this life ends."""
    os.write(ends, json.dumps({"died": died, "steps": [*met]}).encode())


def watch(life: dict[str, Any], ends: int) -> dict[str, int]:
    """From now on count the steps of this process, and kill it where it is to end."""
    met: dict[str, int] = {}
    lock = threading.Lock()
    call = BaseClient._make_api_call

    def die(step: str) -> None:
        say(ends, step, met)
        os.kill(os.getpid(), signal.SIGKILL)

    def meet(step: str) -> None:
        with lock:
            met[step] = met.get(step, 0) + 1
            if step == life["step"] and met[step] == life["number"]:
                die(step)
            if step == _FIRST_READ and met[step] == 1 and life["step"] == ANY_MOMENT:
                timer = threading.Timer(random.uniform(0, life["seconds"]), die, [ANY_MOMENT])
                timer.daemon = True
                timer.start()

    def called(client: BaseClient, operation: str, asked: dict[str, Any]) -> Any:
        step = named(operation, asked)
        meet(f"before {step}")
        answer = call(client, operation, asked)
        meet(f"after {step}")
        return answer

    setattr(BaseClient, "_make_api_call", called)  # noqa: B010 - mypy refuses the plain way
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, life["seconds"])
    return met


def live(life: dict[str, Any], ends: int) -> int:
    """Be a sink until the end; the status that the process ends with."""
    met = watch(life, ends)
    if life.get("control"):
        table.RETRIES = CONTROL
    sys.argv = ["footpath", "sink", *life["arguments"]]
    try:
        app()
    except SystemExit as ended:
        say(ends, None, met)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    raise AssertionError("a command ends its process")


def prepare() -> None:
    """Read what botocore knows of the services once, for all lives: half a second of each would go there."""
    setattr(JSONFileLoader, "load_file", cache(JSONFileLoader.load_file))  # noqa: B010 - as above
    loader = JSONFileLoader()
    setattr(JSONFileLoader, "__new__", lambda _: loader)  # noqa: B010
    for service in ("glue", "kinesis", "s3"):
        boto3.session.Session(region_name="us-east-1").client(service)


def main() -> None:
    """Fork a process for each life in turn."""
    prepare()
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(live(json.loads(line), writing))
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            told = json.loads(said.read() or b'{"died": null, "steps": []}')
        _, status = os.waitpid(child, 0)
        print(json.dumps({**told, "status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()

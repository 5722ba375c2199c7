"""Coverage-guided fuzzing of what reads strangers' bytes: `decode.read` and `query.parse`, with atheris (libFuzzer).

    python -m tests.fuzz.parsers decode --seconds 60

Anything but a value or a `RequestError` is a finding: libFuzzer prints it with its input, and the exit code is not 0.
What was accepted must be sound as well: it adds up, and its JSON is taken again as it is. At the end the number of
executions is printed. msgspec is C and is not instrumented; the Python around it is.
"""

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TOKENS = (
    *('"userId":', '"sessionId":', '"actions":[', '"time":"2018-10-20T21:37:28-06:00"', '"type":"CLICK"', '"VIEW"'),
    *('"properties":{', '"id":"', '"locationX":', '"pageFrom":', "\\ud800", "\\ud83d\\ude00", "1e400", "-0", "null"),
    *("{", "}", "[", "]", "\x1f\x8b\x08", "userId=", "sessionId=", "logType=", "fromTime=", "toTime=", "limit=1"),
    *("cursor=", "order=desc", "%00", "%ff", "&", "+", "2018-10-20", "T21:37:28Z", "9999-12-31", "0001-01-01"),
)
ACTION = {"time": "2018-10-20T21:37:28-06:00", "type": "CLICK", "properties": {"locationX": 1, "a": [1.5, "é"]}}
BODY = json.dumps([{"userId": "u", "sessionId": "s", "actions": [ACTION, {**ACTION, "type": "view", "id": "a"}]}])
SEEDS = {
    "decode": (
        BODY.encode(),
        gzip.compress(BODY.encode(), mtime=0),
        BODY.replace("CLICK", "HOVER").encode(),
        BODY.replace('"a"', '"\\ud800"').encode(),
        b"[]",
    ),
    "query": (
        b"userId=u&sessionId=s&logType=click&logType=view",
        b"fromTime=2018-10-20T21:37:28-06:00&toTime=2018-10-21&limit=10&order=desc",
        b"userId=u&limit=1&cursor=WzE1NDAwOTMwNDgwMDAwMDAsMSwzLCI0NzE2ZmJkOWJhZGEiXQ",
    ),
}


def decode_target() -> Callable[[bytes], None]:
    """What is done with each input: a body, or (where its first byte says so) the inside of a gzip body."""
    import atheris

    with atheris.instrument_imports(include=["footpath"]):
        from footpath import decode
        from footpath.errors import RequestError

    def one(data: bytes) -> None:
        body = gzip.compress(data[1:], 1) if data[:1] == b"\x01" else data
        try:
            checked = decode.read(body)
        except RequestError:
            return
        assert checked.accepted == sum(entry.number for entry in checked.entries)
        assert checked.received == checked.accepted + len(checked.rejects)
        for entry in checked.entries:
            again = json.dumps([{"userId": entry.user_id, "sessionId": entry.session_id, "actions": "HERE"}])
            (same,) = decode.read(again.encode().replace(b'"HERE"', entry.actions)).entries
            assert same == entry

    return one


def query_target() -> Callable[[bytes], None]:
    """What is done with each input: a query string."""
    import atheris

    with atheris.instrument_imports(include=["footpath"]):
        from footpath import query
        from footpath.errors import RequestError

    def one(data: bytes) -> None:
        try:
            found = query.parse(data)
        except RequestError:
            return
        assert found.time_from is None or found.time_to is None or found.time_from <= found.time_to
        assert found.user_id or found.session_id or found.types or found.time_from is not None

    return one


def run(which: str, seconds: int) -> int:
    """Fuzz one target in a process of its own; the number of executions."""
    with tempfile.TemporaryDirectory(prefix="footpath-fuzz-") as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        for place, seed in enumerate(SEEDS[which]):
            (folder / "corpus" / f"{place}").write_bytes(seed)
        tokens = ['"' + "".join(f"\\x{byte:02x}" for byte in token.encode()) + '"' for token in TOKENS]
        (folder / "tokens").write_text("\n".join(tokens), encoding="ascii")
        arguments = [f"-dict={folder / 'tokens'}", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1500"]
        arguments += ["-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={Path.cwd()}/"]
        command = [sys.executable, "-m", "tests.fuzz.parsers", which, "--inside", *arguments, str(folder / "corpus")]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, errors="replace")
    executed = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    if done.returncode != 0 or executed is None:
        sys.stderr.write(done.stderr[-6000:])
        raise SystemExit(f"fuzzing {which} found something (exit {done.returncode}); its input is above")
    return int(executed[1])


def main() -> None:
    """Fuzz, or be the process that does."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("which", choices=["decode", "query"])
    given.add_argument("--seconds", type=int, default=60)
    given.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    told, rest = given.parse_known_args()
    if not told.inside:
        print(f"{told.which}: {run(told.which, told.seconds):,} executions in {told.seconds} s, 0 findings")
        return
    import atheris

    target = decode_target() if told.which == "decode" else query_target()
    atheris.Setup([sys.argv[0], *rest], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

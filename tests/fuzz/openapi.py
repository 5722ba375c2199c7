"""Schemathesis on the OpenAPI document of a running server: status, content type and schema of every answer.

    python -m tests.fuzz.openapi --seconds 90

Starts `footpath serve` on a folder of its own. The exit code is not 0 when an answer is not as the document says, or is
a 5xx. Prints what schemathesis counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_SECONDS = 30.0
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main() -> None:
    """Serve, fuzz, stop."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--seconds", type=int, default=90)
    seconds = given.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="footpath-fuzz-") as name:
        log = Path(name) / "log"
        command = [sys.executable, "-m", "footpath", "serve", "--data", f"{name}/data", "--port", "0"]
        with log.open("wb") as out:
            server = subprocess.Popen(command, stderr=out, env={**os.environ, "FOOTPATH_LOG": "json"})
        try:
            url = _listens(server, log)
            fuzz = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
            fuzz += ["--checks", CHECKS, "--max-time", str(seconds), "--no-color", "--suppress-health-check", "all"]
            fuzz += ["--exclude-path", "/api/tail"]  # its answer has no end
            code = subprocess.run(fuzz, check=False, cwd=name).returncode
            if "Traceback" in log.read_text(encoding="utf-8"):
                raise SystemExit(f"the server met a fault of its own:\n{log.read_text(encoding='utf-8')[-6000:]}")
        finally:
            server.terminate()
            server.wait(60)
    raise SystemExit(code)


def _listens(server: "subprocess.Popen[bytes]", log: Path) -> str:
    """Where the server listens, once it says so."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{") and json.loads(line).get("event") == "serving":
                return str(json.loads(line)["url"])
        time.sleep(0.05)
    raise SystemExit(f"the server did not start:\n{log.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    main()

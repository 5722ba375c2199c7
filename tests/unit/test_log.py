"""No value that is logged can forge a line or steer a terminal."""

import json
import logging
import subprocess
import sys

import pytest

HOSTILE = "a\nb\rc\x1b[31md\x00e\x7ff\x9bg\u2028h\u202ei"
SCRIPT = f"""
import logging, structlog, sys
from footpath import log
log.configure(sys.argv[1])
hostile = {HOSTILE!r}
structlog.get_logger().info("event " + hostile, value=hostile, nested=[{{"k": hostile}}], e=ValueError(hostile))
logging.getLogger("library").warning("library %s", hostile)
"""


def logged(form: str, script: str = SCRIPT) -> str:
    """What a process writes to standard error that runs the script with logs of this form."""
    done = subprocess.run([sys.executable, "-c", script, form], capture_output=True, check=True, timeout=60)
    assert done.stdout == b""
    return done.stderr.decode()


@pytest.mark.parametrize("form", ["json", "text", "auto"])
def test_control_characters_are_escaped(form: str) -> None:
    """Whatever an event or its values hold, an event is one line without control characters."""
    text = logged(form)
    assert text.count("\n") == 2
    assert text.endswith("\n")
    assert [letter for letter in text.replace("\n", "") if not letter.isprintable()] == []
    assert text.count("\\u001b") + text.count("\\x1b") >= 5


@pytest.mark.parametrize("form", ["json", "auto"])
def test_machines_get_one_json_object_a_line(form: str) -> None:
    """Away from a terminal, every event of ours and of libraries is one JSON object with time and level."""
    ours, theirs = [json.loads(line) for line in logged(form).splitlines()]
    assert ours["value"] == HOSTILE
    assert ours["level"] == "info"
    assert theirs["event"] == f"library {HOSTILE}"
    assert theirs["level"] == "warning"
    assert ours["timestamp"] <= theirs["timestamp"]


def test_a_traceback_is_logged_whole() -> None:
    """A library's exception is logged with its traceback, in text over several lines."""
    script = SCRIPT + "try: 1/0\nexcept ZeroDivisionError: logging.getLogger('library').exception('failed')\n"
    assert "ZeroDivisionError: division by zero" in json.loads(logged("json", script).splitlines()[2])["exception"]
    lines = logged("text", script).splitlines()
    assert lines[3].startswith("Traceback")
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_levels() -> None:
    """Events of level info and above are logged, those of level debug are not."""
    script = "import structlog; from footpath import log; log.configure('json'); l = structlog.get_logger()\n"
    assert logged("json", script + "l.debug('quiet')") == ""
    assert json.loads(logged("json", script + "l.info('loud')"))["event"] == "loud"
    assert logging.getLogger().level == logging.WARNING

"""`footpath serve`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from typer import Option

from footpath import memory
from footpath.config import SETTINGS, read_settings
from footpath.errors import BadSetting

DEMO_ACTIONS = 20_000
WEEK = 604_800  # seconds


def serve(
    data: Annotated[Path | None, Option(help=SETTINGS["data"])] = None,
    host: Annotated[str | None, Option(help=SETTINGS["host"])] = None,
    port: Annotated[int | None, Option(help=SETTINGS["port"])] = None,
    workers: Annotated[int | None, Option(help=SETTINGS["workers"])] = None,
    keep: Annotated[str | None, Option(help=SETTINGS["keep"])] = None,
    config: Annotated[Path | None, Option(help="a TOML file with any of the settings of docs/SETTINGS.md")] = None,
    journal: Annotated[str | None, Option(help=SETTINGS["journal"], metavar="ADDRESS")] = None,
    find: Annotated[str | None, Option(help=SETTINGS["find"], metavar="ADDRESS")] = None,
    table: Annotated[str | None, Option(help=SETTINGS["table"], metavar="ADDRESS")] = None,
    keys: Annotated[str | None, Option(help=SETTINGS["keys"], metavar="FILE")] = None,
    log: Annotated[str | None, Option(help=SETTINGS["log"])] = None,
    *,
    demo: Annotated[bool, Option("--demo", help="with made-up traffic, in a folder that is gone afterwards")] = False,
) -> None:
    """Take actions in over HTTP, keep them, and answer questions about them.

    Example: footpath serve --data ./data --port 8000
    """
    from footpath import service

    flags = {"data": data, "host": host, "port": port, "workers": workers, "log": log, "keep": keep}
    flags |= {"journal": journal, "find": find, "table": table, "keys": keys}
    with _made_up() if demo else nullcontext() as folder:
        if demo:
            if data is not None or journal is not None:
                raise BadSetting("--demo makes a folder of its own: leave --data and --journal away")
            flags["data"] = folder
        service.serve(read_settings(flags, file=config, memory=memory.given()))


@contextmanager
def _made_up() -> Iterator[Path]:
    """A data folder with a week of made-up traffic."""
    with TemporaryDirectory(prefix="footpath-demo-") as name:
        traffic, folder = Path(name) / "traffic.ndjson", Path(name) / "data"
        footpath = [sys.executable, "-m", "footpath"]
        made = ["--actions", str(DEMO_ACTIONS), "--rate", str(DEMO_ACTIONS / WEEK), "--users", "200"]
        for command in (["demo", "--out", str(traffic), *made], ["import", str(traffic), "--data", str(folder)]):
            subprocess.run([*footpath, *command], check=True, stdout=subprocess.DEVNULL)
        yield folder

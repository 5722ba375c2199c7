"""`footpath import`."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from typer import Argument, Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data, Secret
from footpath.errors import CommandFailed

if TYPE_CHECKING:
    from footpath.config import Settings
    from footpath.importing.chunk import Refused
    from footpath.importing.run import Account
    from footpath.importing.source import Source
    from footpath.importing.target import Target

SHOWN = 10  # rejects told of on the terminal; --rejects has all


def import_(
    files: Annotated[list[str], Argument(metavar="FILE...", help="what to import; - is standard input")],
    data: Data = None,
    url: Annotated[
        str | None, Option(help="import through the server at this address, instead of into the folder itself")
    ] = None,
    key: Secret = None,
    rejects: Annotated[Path | None, Option(help="write everything that is refused to this file, as NDJSON")] = None,
    config: Config = None,
) -> None:
    """Take in files of actions: NDJSON or JSON, gzip or not.

    A value is a batch {userId, sessionId, actions}, an array of batches, or a row of an export: an action with its
    userId and sessionId. What is refused is told and skipped.

    The same import may be run again, also after it was interrupted: it goes on where it was and stores nothing twice.
    It knows what it did by keys made of a file's content, which are kept for 48 hours (setting idempotency_hours).
    Import a log file when it is finished: of one that has grown since, up to 5,000 actions may be stored twice.

    Example: footpath import november.ndjson.gz --rejects refused.ndjson
    """
    from footpath import log
    from footpath.config import read_settings
    from footpath.importing import source
    from footpath.importing.run import Account
    from footpath.memory import beside_a_server

    if url is not None and data is not None:
        raise CommandFailed("--data and --url are two ways to import; give one of them")
    settings = read_settings({"data": data}, file=config, memory=beside_a_server())
    log.configure(settings.log)
    account = Account()
    with ExitStack() as stack:
        sources = [stack.enter_context(source.opened(name)) for name in files]
        target = stack.enter_context(target_of(settings, url, key, "footpath import", "import through it with --url"))
        report = _Report(None if rejects is None else _open(rejects, stack))
        try:
            _import(sources, target, account, report)
        finally:
            report.close(account)
    if account.is_unreadable:
        raise CommandFailed("nothing could be read: import takes NDJSON or JSON of batches, or rows of an export")


def _import(sources: list["Source"], target: "Target", account: "Account", report: "_Report") -> None:
    from footpath.importing.run import run

    sizes = [source.size for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with terminal.progress("{task.fields[actions]:,} actions", timed=total is not None) as progress:
        task = progress.add_task("importing", total=total, actions=0)
        before = 0
        for source in sources:
            report.name = source.name
            for _ in run(source, target, account, report.refuse):
                actions = account.accepted + account.duplicates + account.rejected
                progress.update(task, completed=before + source.position(), actions=actions)
            before += source.size or 0


class _Report:
    """Tells of what is refused: all of it in a file if one is given, the first few and the counts on the terminal."""

    def __init__(self, out: IO[bytes] | None) -> None:
        self.name = ""
        self._out = out
        self._first: list[str] = []

    def refuse(self, refused: "Refused") -> None:
        from msgspec.json import encode

        (line, action), code, message, raw = refused
        if len(self._first) < SHOWN:
            place = f"{self.name}:{line}" if action is None else f"{self.name}:{line} action {action}"
            self._first.append(f"  {place}: {code}: {message}")
        if self._out is not None:
            text = raw.decode("utf-8", "backslashreplace")
            row = {"file": self.name, "line": line, "action": action, "code": code, "message": message, "raw": text}
            self._out.write(encode(row) + b"\n")

    def close(self, account: "Account") -> None:
        for code, count in account.codes.most_common():
            terminal.say(f"rejected {count}: {code}")
        for line in self._first:
            terminal.say(line)
        if account.rejected > len(self._first):
            more = "" if self._out is not None else "; --rejects FILE writes all of them"
            terminal.say(f"  and {account.rejected - len(self._first)} more{more}")
        sys.stdout.write(f"{account.accepted} accepted, {account.duplicates} duplicates, {account.rejected} rejected\n")


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    try:
        return stack.enter_context(path.open("wb"))
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def target_of(settings: "Settings", url: str | None, key: str | None, who: str, otherwise: str) -> Iterator["Target"]:
    """The server at an address, or the data folder, which `who` then holds; `otherwise` is what to do if it cannot."""
    from footpath.importing import folder, target

    if url is not None:
        with target.opened(url, key) as server:
            yield server
        return
    from footpath import service

    with (
        service.hold(settings.data, who, otherwise=otherwise),
        folder.opened(settings) as opened,
    ):
        yield opened

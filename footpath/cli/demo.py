"""`footpath demo`."""

import gzip
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Option

from footpath.cli import terminal
from footpath.cli.filters import Secret
from footpath.errors import CommandFailed

if TYPE_CHECKING:
    from footpath.demo import Arrival

TOGETHER = 1_000  # actions in a request when there is no pace to keep
PRETENDED_RATE = 100.0  # actions a second of the made-up hours that --rate 0 and --out tell of


class _Count(NamedTuple):
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


_Send = Callable[[list["Arrival"]], _Count]


def demo(
    url: Annotated[str, Option(help="the server to send to")] = "http://127.0.0.1:8000",
    key: Secret = None,
    out: Annotated[
        Path | None, Option(help="write NDJSON batches to this file instead, gzip if its name ends in .gz")
    ] = None,
    actions: Annotated[int, Option(help="how many actions, a hundredth of them bad", min=1)] = 1_000,
    rate: Annotated[float, Option(help="actions a second; 0 is as fast as it goes", min=0)] = 100.0,
    users: Annotated[int, Option(help="how many people there are", min=1)] = 1_000,
    seed: Annotated[int, Option(help="picks the traffic; the same one walks the same ways")] = 1,
) -> None:
    """Send made-up traffic: people walk a small shop's site.

    Example: footpath demo --actions 100000 --rate 0
    """
    from footpath.demo import traffic

    is_live = rate > 0 and out is None
    pretended = rate or PRETENDED_RATE
    now = datetime.now(UTC)
    arrivals = traffic(
        seed=seed,
        actions=actions,
        start=now if is_live else now - timedelta(seconds=actions / pretended),
        rate=pretended,
        users=users,
    )
    wanted = 0
    total = _Count()
    with ExitStack() as stack:
        send = _to_server(url, key, stack) if out is None else _to_file(out, stack)
        progress = stack.enter_context(terminal.progress("{task.completed:,} of {task.total:,} actions"))
        task = progress.add_task("sending" if out is None else "writing", total=actions)
        for together in _in_time(arrivals) if is_live else _by_size(arrivals):
            wanted += sum(arrival.bad for arrival in together)
            count = send(together)
            total = _Count(*[before + more for before, more in zip(total, count, strict=True)])
            progress.advance(task, sum(len(arrival.batch["actions"]) for arrival in together))
    if out is not None:
        sys.stdout.write(f"{actions} actions in {out}, {wanted} of them bad\n")
        return
    sys.stdout.write(f"{total.accepted} accepted, {total.duplicates} duplicates, {total.rejected} rejected\n")
    if total != (actions - wanted, 0, wanted):
        raise CommandFailed(f"the server should have accepted {actions - wanted} and rejected {wanted}")


def _in_time(arrivals: Iterator["Arrival"]) -> Iterator[list["Arrival"]]:
    """Each arrival when it is due; those that are due at once, together."""
    waiting: list[Arrival] = []
    for arrival in arrivals:
        pause = (arrival.at - datetime.now(UTC)).total_seconds()
        if pause > 0:
            if waiting:
                yield waiting
                waiting = []
            time.sleep(max(0.0, (arrival.at - datetime.now(UTC)).total_seconds()))
        waiting.append(arrival)
        if sum(len(one.batch["actions"]) for one in waiting) >= TOGETHER:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _by_size(arrivals: Iterator["Arrival"]) -> Iterator[list["Arrival"]]:
    together: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        together.append(arrival)
        size += len(arrival.batch["actions"])
        if size >= TOGETHER:
            yield together
            together, size = [], 0
    if together:
        yield together


def _to_server(url: str, key: str | None, stack: ExitStack) -> _Send:
    from msgspec.json import encode

    from footpath.sending.patient import PatientSender

    client = stack.enter_context(closing(PatientSender(url, key)))

    def send(arrivals: list["Arrival"]) -> _Count:
        answer = client.submit(encode([arrival.batch for arrival in arrivals]), f"footpath-demo-{uuid.uuid4().hex}")
        return _Count(answer.accepted, answer.duplicates, len(answer.rejected))

    return send


def _to_file(path: Path, stack: ExitStack) -> _Send:
    from msgspec.json import encode

    try:
        plain = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror or error}") from error
    out = stack.enter_context(gzip.GzipFile(filename="", fileobj=plain, mode="wb")) if path.suffix == ".gz" else plain

    def send(arrivals: list["Arrival"]) -> _Count:
        out.write(b"".join([encode(arrival.batch) + b"\n" for arrival in arrivals]))
        return _Count()

    return send

"""The process of `footpath sink`: opens what it needs, goes on after failures, and stops in order."""

import contextlib
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import structlog

from footpath.aws import clients
from footpath.aws.address import StreamAddress, TableAddress
from footpath.aws.columns import Columns
from footpath.aws.meters import Meters
from footpath.aws.sink import Limits, Round, Sink, Source, source_of
from footpath.aws.table import catalog_of, first_look, open_table
from footpath.errors import BadSetting, CommandFailed
from footpath.store import parquet

FIRST_PAUSE = 1.0  # s between rounds that fail
LONGEST_PAUSE = 30.0

_log = structlog.get_logger()


class Plan(NamedTuple):
    """What a sink is to do: see the options of `footpath sink`."""

    stream: StreamAddress
    table: TableAddress
    limits: Limits
    memory: str
    scratch: Path | None = None


def once(plan: Plan) -> Round:
    """Bring into the table what is in the stream, and end.

    Raises:
        BadSetting: stream or table cannot be used.
        CommandFailed: it could not be done.
    """
    with _opened(plan, threading.Event()) as sink:
        try:
            return sink.drain()
        except (OSError, *clients.AwsError) as error:
            raise CommandFailed(_sentence(plan, error)) from error


def run(plan: Plan, metrics: str | None = None) -> None:
    """Work until SIGTERM or SIGINT; what fails and can pass is tried again for ever, each time in the log.

    Args:
        plan: what to do.
        metrics: HOST:PORT at which Prometheus is answered; None for nowhere.

    Raises:
        BadSetting: stream or table cannot be used, now or later.
        CommandFailed: AWS refuses something that trying again does not mend, or cannot be looked at in the beginning.
    """
    stop = threading.Event()
    with _told_to(stop), _opened(plan, stop) as sink, contextlib.ExitStack() as stack:
        meters = Meters(sink.retention, sink.held, sink.shards)
        if metrics is not None:
            stack.callback(meters.serve(metrics))
        _log.info("sinking", stream=plan.stream.stream, table=f"{plan.table.namespace}.{plan.table.table}")
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                for done in sink.run():
                    pause = FIRST_PAUSE
                    meters.did(done)
                    _tell(done)
            except clients.AwsError as error:
                if not clients.passes(error):
                    raise CommandFailed(_sentence(plan, error)) from error
                _log.warning("a round failed; trying again", error=_sentence(plan, error), seconds=pause)
            except (CommandFailed, OSError) as error:
                _log.warning("a round failed; trying again", error=str(error), seconds=pause)
            else:
                break
            meters.failed()
            stop.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        _log.info("stopped")


@contextlib.contextmanager
def _opened(plan: Plan, stop: threading.Event) -> Iterator[Sink]:
    client = clients.client("kinesis", plan.stream.region, plan.stream.endpoint)
    catalog = catalog_of(plan.table)
    first_look(catalog, plan.table)
    try:
        source: Source = source_of(client, plan.stream.stream)
    except clients.AwsError as error:
        kind = CommandFailed if clients.passes(error) else BadSetting
        raise kind(_sentence(plan, error)) from error
    with (
        tempfile.TemporaryDirectory(prefix="footpath-sink-", dir=plan.scratch) as folder,
        parquet.engine(Path(folder), memory=plan.memory) as engine,
    ):
        columns = Columns(engine, Path(folder))
        yield Sink(source, lambda: open_table(catalog, plan.table), columns, plan.limits, uuid.uuid4().hex, stop)


def _sentence(plan: Plan, error: Exception) -> str:
    return clients.sentence(
        error,
        what=f"the stream {plan.stream.stream} or the table {plan.table.namespace}.{plan.table.table}",
        permission="for one of kinesis:DescribeStreamSummary, ListShards, GetShardIterator, GetRecords, glue:GetTable,"
        " glue:UpdateTable, s3:GetObject, s3:PutObject",
        make=f"footpath setup aws --journal '{plan.stream}' --table '{plan.table}' --apply",
    )


@contextlib.contextmanager
def _told_to(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at SIGTERM and SIGINT; a second one ends the process as usual."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(done: Round) -> None:
    """Log a round that did something."""
    if done.records or done.ended:
        told = done._asdict()
        told["lag"] = round(done.lag, 1)
        _log.info("round", **told)

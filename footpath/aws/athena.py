"""Statements on Athena: started in a work group, waited for, and read from the file that Athena writes to S3.

The file is CSV, every value in quotation marks and nothing at all for NULL. It is read as a stream, in flat memory;
GetQueryResults would give the same 1,000 rows a call. Python's csv reads NULL and '' alike; both are None here, since
no text of an action is empty.

Values go beside the text (`ExecutionParameters`), as Trino's literals: text in quotation marks, numbers bare.
Closing early stops the query; what it has scanned by then is billed. Result files stay where the work group puts them:
docs/SCALING.md says how they go.
"""

import contextlib
import csv
import io
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import structlog

from footpath.aws import clients
from footpath.aws.address import GLUE, AthenaAddress, TableAddress
from footpath.aws.engine import CONFLICTS, Begun, Conflict, Row, next_step
from footpath.aws.literal import literal
from footpath.aws.table import catalog_of, open_table
from footpath.errors import BadSetting, ReadFailed
from footpath.find import asker
from footpath.find.sql import Statement, identifier

CHUNK_ROWS = 5_000  # given on at once: half a megabyte of text
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0  # seconds between looks at a query; most take one or two
START_TRIES = 8  # while too many are started at once: half a minute
USD_PER_BYTE = 5 / 1e12  # aws.amazon.com/athena/pricing, us-east-1, 2026-11
LEAST_BYTES = 10_000_000  # a query is billed as at least so many
_MAKE = "footpath setup aws --table iceberg://glue/DATABASE/TABLE --workgroup NAME --results s3://BUCKET/PREFIX --apply"
_BUSY = frozenset(("TooManyRequestsException", "ThrottlingException"))
_READS = frozenset(("QUEUED", "RUNNING"))

_log = structlog.get_logger()


class Athena:
    """An Engine over one table of Athena. Any thread may use it."""

    def __init__(self, address: AthenaAddress, *, read_seconds: float = 900.0) -> None:
        """Make the clients; a statement may take `read_seconds`.

        Raises:
            BadSetting: there is no region.
        """
        self._address = address
        self._where = f"the table {address.database}.{address.table} in Athena"
        self._read_seconds = read_seconds
        self._athena = clients.client("athena", address.region, address.endpoint)
        self._s3 = clients.client("s3", address.region, None)
        self._of_table = TableAddress(GLUE, address.database, address.table, address.region)
        self._catalog = catalog_of(self._of_table)

    @property
    def table(self) -> str:
        """See `Engine.table`."""
        return identifier(self._address.table)

    def begin(self, statement: Statement) -> Begun:
        """See `Engine.begin`; it returns when the answer is whole, since Athena gives none before."""
        rows = self._rows(statement)
        next(rows)
        return Begun(rows)

    def change(self, statement: Statement) -> None:
        """See `Engine.change`."""
        with _Query(self, statement) as query:
            query.wait()

    def properties(self) -> Mapping[str, str]:
        """See `Engine.properties`; they are in the table's metadata, which Glue knows where to find."""
        try:
            found = open_table(self._catalog, self._of_table).metadata.properties
        except BadSetting as error:
            raise ReadFailed(str(error)) from error
        except (OSError, *clients.AwsError) as error:
            raise ReadFailed(f"{self._where}: its metadata cannot be read: {error}") from error
        return {name: value for name, value in found.items() if name.startswith("footpath.")}

    def _rows(self, statement: Statement) -> Generator[list[Row]]:
        """First nothing, when the answer is whole; then chunks of it."""
        with _Query(self, statement) as query:
            location = query.wait()
            with contextlib.closing(self._open(location)) as lines:
                yield []
                try:
                    found = csv.reader(lines)
                    next(found)  # the names of the columns
                    while chunk := [tuple([value or None for value in row]) for row in islice(found, CHUNK_ROWS)]:
                        yield chunk
                except (OSError, UnicodeDecodeError, csv.Error, *clients.AwsError) as error:
                    why = f"{type(error).__name__}: {error}"
                    raise ReadFailed(f"Athena's answer could not be read to its end ({why}); ask again") from error

    def _open(self, location: str) -> io.TextIOWrapper:
        split = urlsplit(location)
        try:
            body = self._s3.get_object(Bucket=split.netloc, Key=split.path.lstrip("/"))["Body"]
        except clients.AwsError as error:
            what, permission = f"Athena's answer at {location}", "s3:GetObject"
            raise ReadFailed(clients.sentence(error, what=what, permission=permission, make=_MAKE)) from error
        return io.TextIOWrapper(io.BufferedReader(body, 1 << 18), encoding="utf-8", newline="")

    def call(self, verb: str, **given: Any) -> Any:
        """Call Athena.

        Raises:
            ReadFailed: it refuses; the message says what to do.
        """
        try:
            return getattr(self._athena, verb)(**given)
        except clients.AwsError as error:
            if clients.code(error) in _BUSY:
                raise
            permission = "athena:" + "".join(word.title() for word in verb.split("_"))
            told = clients.sentence(error, what=self._where, permission=permission, make=_MAKE)
            raise ReadFailed(f"{told}{self._mend(told.lower())}") from error

    def _mend(self, told: str) -> str:
        """What mends a call that Athena refuses in words alone: all of these are InvalidRequestException."""
        if "output location" in told:
            return "; add ?output=s3://BUCKET/PREFIX to --find, or name a ?workgroup= that has one"
        if "output bucket" in told:
            return "; make the bucket with `aws s3 mb s3://BUCKET`, or name another with ?output= in --find"
        if "workgroup" in told and "not found" in told:
            group = self._address.workgroup
            make = f"footpath setup aws --workgroup {group} --results s3://BUCKET/PREFIX --apply"
            return f"; make it with `{make}`, or name another with ?workgroup= in --find"
        return ""

    def start(self, statement: Statement) -> str:
        """Start a query, its id. A start whose answer was lost is the same start when it comes again.

        Raises:
            ReadFailed: it cannot be started.
        """
        address = self._address
        given: dict[str, Any] = {
            "QueryString": statement.text,
            "ClientRequestToken": uuid.uuid4().hex,
            "QueryExecutionContext": {"Database": address.database, "Catalog": address.catalog},
            "WorkGroup": address.workgroup,
        }
        if statement.values:
            given["ExecutionParameters"] = [literal(value) for value in statement.values]
        if address.output is not None:
            given["ResultConfiguration"] = {"OutputLocation": address.output}
        return str(self._patiently(lambda: self.call("start_query_execution", **given))["QueryExecutionId"])

    def look(self, query: str) -> Mapping[str, Any]:
        """How a query is doing."""
        found = self._patiently(lambda: self.call("get_query_execution", QueryExecutionId=query))
        told: Mapping[str, Any] = found["QueryExecution"]
        return told

    def failed(self, reason: str) -> ReadFailed:
        """What Athena says of a query that failed, as footpath says it."""
        name, _, more = reason.partition(":")
        if not name.isupper():
            name, more = "FAILED", reason
        kind = Conflict if name in CONFLICTS else ReadFailed
        return kind(f"{self._where} could not be read ({name}: {more.strip()[:300]}); {next_step(name)}")

    @property
    def read_seconds(self) -> float:
        """How long a statement may take."""
        return self._read_seconds

    @staticmethod
    def _patiently(call: Callable[[], Any]) -> Any:
        """A call, again while Athena has too many, within a bound."""
        wait = FIRST_WAIT
        for _ in range(START_TRIES):
            try:
                return call()
            except clients.AwsError:  # those that `call` lets through: too many at once
                time.sleep(wait)
                wait = min(wait * 2, 10.0)
        raise ReadFailed(
            "Athena has too many queries at once; ask again in a moment, or raise the quota of the account"
        )


class _Query(contextlib.AbstractContextManager["_Query"]):
    """A query on its way, which is stopped when the block ends before it does."""

    def __init__(self, athena: Athena, statement: Statement) -> None:
        self._athena = athena
        self._deadline = time.monotonic() + athena.read_seconds
        self._id = athena.start(statement)
        self._runs = True

    def __exit__(self, *_: object) -> None:
        if self._runs:
            self._athena.call("stop_query_execution", QueryExecutionId=self._id)

    def wait(self) -> str:
        """Return when it has succeeded: where its answer is.

        Raises:
            ReadFailed: it has not.
        """
        wait = FIRST_WAIT
        while (told := self._athena.look(self._id))["Status"]["State"] in _READS:
            asker.current().make_sure()
            if time.monotonic() > self._deadline:
                seconds = self._athena.read_seconds
                raise ReadFailed(f"the read took longer than {seconds:g} s; ask for less, or page with limit")
            time.sleep(wait)
            wait = min(wait * 1.5, LONGEST_WAIT)
        self._runs = False
        statistics = told.get("Statistics", {})
        scanned = int(statistics.get("DataScannedInBytes", 0))
        _log.info(
            "athena read",
            query=self._id,
            state=told["Status"]["State"],
            bytes=scanned,
            usd=round(max(scanned, LEAST_BYTES) * USD_PER_BYTE, 6),
            seconds=statistics.get("TotalExecutionTimeInMillis", 0) / 1000,
        )
        if told["Status"]["State"] != "SUCCEEDED":
            raise self._athena.failed(told["Status"].get("StateChangeReason", told["Status"]["State"]))
        return str(told["ResultConfiguration"]["OutputLocation"])

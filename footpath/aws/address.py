"""Addresses of what is not on this machine: `scheme://place?option=value`, taken apart and checked.

    kinesis://STREAM[?region=…&endpoint=…]
    iceberg://CATALOG/NAMESPACE/TABLE[?region=…&endpoint=…&s3.endpoint=…&warehouse=s3://…]
    athena://DATABASE[?table=actions&workgroup=…&region=…&output=s3://…&endpoint=…&catalog=AwsDataCatalog]
    trino://HOST:PORT/CATALOG/SCHEMA[?table=actions&user=…&tls=true]

CATALOG is `glue`, or one that pyiceberg's own configuration names, whose options then stand there. No address holds
credentials: those come the way boto3 finds them.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from footpath.errors import BadSetting

STREAM_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")  # as Kinesis has it
NAME = re.compile(r"[a-z0-9_]{1,255}")  # as Glue and Athena have it, in lower case
GLUE = "glue"


class StreamAddress(NamedTuple):
    """A Kinesis stream. `endpoint` is for a stand-in, and for VPC endpoints."""

    stream: str
    region: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"kinesis://{self.stream}{_options(region=self.region, endpoint=self.endpoint)}"


class TableAddress(NamedTuple):
    """An Iceberg table. `warehouse` is where a table that is made puts its files."""

    catalog: str
    namespace: str
    table: str
    region: str | None = None
    endpoint: str | None = None
    s3_endpoint: str | None = None
    warehouse: str | None = None

    def __str__(self) -> str:
        """As it is given on the command line."""
        options = {
            "region": self.region,
            "endpoint": self.endpoint,
            "s3.endpoint": self.s3_endpoint,
            "warehouse": self.warehouse,
        }
        return f"iceberg://{self.catalog}/{self.namespace}/{self.table}{_options(**options)}"


class AthenaAddress(NamedTuple):
    """A table that Athena reads. `output` is where it puts results, if the work group does not say."""

    database: str
    table: str = "actions"
    workgroup: str = "primary"
    region: str | None = None
    output: str | None = None
    endpoint: str | None = None
    catalog: str = "AwsDataCatalog"


class TrinoAddress(NamedTuple):
    """A table that a Trino reads."""

    host: str
    port: int
    catalog: str
    schema: str
    table: str = "actions"
    user: str = "footpath"
    tls: bool = False


def find_address(text: str) -> AthenaAddress | TrinoAddress:
    """Read `athena://…` or `trino://…`.

    Raises:
        BadSetting: it is neither.
    """
    return _trino_address(text) if text.startswith("trino:") else _athena_address(text)


def _athena_address(text: str) -> AthenaAddress:
    known = ("table", "workgroup", "region", "output", "endpoint", "catalog")
    database, options = _parts(text, "athena", known, "athena://DATABASE?workgroup=WORKGROUP or trino://…")
    table = options.get("table", "actions")
    if not NAME.fullmatch(database) or not NAME.fullmatch(table):
        raise BadSetting(
            f"{text!r} names no table: write athena://DATABASE?table=TABLE, both with lower case letters, digits and _"
        )
    if not options.get("output", "s3://").startswith("s3://"):
        raise BadSetting(f"{text!r}: output is where Athena puts results, s3://BUCKET/PREFIX")
    return AthenaAddress(database, **options)


def _trino_address(text: str) -> TrinoAddress:
    known = ("table", "user", "tls")
    rest, options = _parts(text, "trino", known, "trino://HOST:PORT/CATALOG/SCHEMA?table=TABLE")
    host, *names = rest.split("/")
    name, _, port = host.rpartition(":")
    if len(names) != 2 or not all(names) or not name or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadSetting(f"{text!r} names no table: write trino://HOST:PORT/CATALOG/SCHEMA?table=TABLE")
    tls = options.get("tls", "false")
    if tls not in {"true", "false"}:
        raise BadSetting(f"{text!r}: tls is {tls!r}; it is true or false")
    table, user = options.get("table", "actions"), options.get("user", "footpath")
    return TrinoAddress(name.strip("[]"), int(port), names[0], names[1], table, user, tls == "true")


def stream_address(text: str) -> StreamAddress:
    """Read `kinesis://…`.

    Raises:
        BadSetting: it is not such an address.
    """
    rest, options = _parts(text, "kinesis", ("region", "endpoint"), "kinesis://STREAM?region=eu-central-1")
    if not STREAM_NAME.fullmatch(rest):
        raise BadSetting(
            f"{text!r} names no stream: write kinesis://STREAM, with letters, digits, _, . and - only, 128 at most"
        )
    return StreamAddress(rest, options.get("region"), options.get("endpoint"))


def table_address(text: str) -> TableAddress:
    """Read `iceberg://…`.

    Raises:
        BadSetting: it is not such an address.
    """
    known = ("region", "endpoint", "s3.endpoint", "warehouse")
    rest, options = _parts(text, "iceberg", known, "iceberg://glue/NAMESPACE/TABLE?warehouse=s3://BUCKET/PREFIX")
    catalog, *names = rest.split("/")
    if not catalog or len(names) != 2 or not all(NAME.fullmatch(name) for name in names):
        raise BadSetting(
            f"{text!r} names no table: write iceberg://CATALOG/NAMESPACE/TABLE, the last two with lower case letters,"
            " digits and _ only"
        )
    if catalog != GLUE and options:
        raise BadSetting(
            f"{text!r}: the options of catalog {catalog!r} stand in pyiceberg's configuration (~/.pyiceberg.yaml);"
            f" only {GLUE} has them in its address"
        )
    return TableAddress(
        catalog, names[0], names[1], options.get("region"), options.get("endpoint"), options.get("s3.endpoint"),
        options.get("warehouse"),
    )  # fmt: skip


def _parts(text: str, scheme: str, known: tuple[str, ...], example: str) -> tuple[str, dict[str, str]]:
    """What stands between scheme and question mark, and the options."""
    split = urlsplit(text)
    if split.scheme != scheme or split.fragment:
        raise BadSetting(f"{text!r} is not an address like {example}")
    if "@" in split.netloc:
        raise BadSetting(f"the address {scheme}://… holds no credentials: they come from AWS_PROFILE, AWS_* or a role")
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(known))
    if unknown or "" in options.values():
        wrong = unknown[0] if unknown else next(name for name, value in options.items() if not value)
        raise BadSetting(f"{text!r}: {wrong!r} is no option, or has no value; known are {', '.join(known)}")
    return f"{split.netloc}{split.path}".rstrip("/"), options


def _options(**options: str | None) -> str:
    given = "&".join(f"{name}={value}" for name, value in options.items() if value is not None)
    return f"?{given}" if given else ""

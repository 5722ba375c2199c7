"""The Iceberg table: how it is found, what it looks like, and how it is made.

Format 2, a partition a day of `time`, sorted by user, session and time: one session is a contiguous run of a file, and
Glue's and Trino's sorted compaction keeps it so. `commit.retry.num-retries` must be 0: by default pyiceberg puts the
commit of a stale table on top of what came in between, and a position would go back (see `commit`).
"""

from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import IntegerType, LongType, NestedField, StringType, TimestamptzType

from footpath.aws import clients
from footpath.aws.address import GLUE, TableAddress
from footpath.errors import BadSetting, CommandFailed

_TEXT, _TIME, _INT, _LONG = StringType(), TimestamptzType(), IntegerType(), LongType()
SCHEMA = Schema(
    NestedField(1, "user_id", _TEXT, required=True, doc="userId"),
    NestedField(2, "session_id", _TEXT, required=True, doc="sessionId"),
    NestedField(3, "time", _TIME, required=True, doc="when the user did it"),
    NestedField(4, "utc_offset", _INT, required=True, doc="minutes by which the user's clock was ahead of UTC"),
    NestedField(5, "type", _TEXT, required=True, doc="CLICK, VIEW or NAVIGATE"),
    NestedField(6, "properties", _TEXT, required=True, doc="a JSON object"),
    NestedField(7, "id", _TEXT, required=False, doc="the id that the sender gave it, if any"),
    NestedField(8, "seq", _LONG, required=True, doc="number given by the sink; rises within a shard"),
    NestedField(9, "received_at", _TIME, required=True, doc="when a server took it in"),
    NestedField(10, "batch_id", _TEXT, required=True, doc="with place the name of the action: twice is a duplicate"),
    NestedField(11, "place", _INT, required=True, doc="place of the action in its batch"),
)
PARTITION = PartitionSpec(PartitionField(source_id=3, field_id=1000, transform=DayTransform(), name="time_day"))
SORT = SortOrder(
    *[
        SortField(
            source_id=number,
            transform=IdentityTransform(),
            direction=SortDirection.ASC,
            null_order=NullOrder.NULLS_FIRST,
        )
        for number in (1, 2, 3, 8)
    ]
)
RETRIES = "commit.retry.num-retries"
PROPERTIES = {
    "format-version": "2",
    RETRIES: "0",
    "write.parquet.compression-codec": "zstd",
    "write.target-file-size-bytes": str(128 << 20),  # what Athena likes to read
    "write.metadata.delete-after-commit.enabled": "true",  # else a metadata file a minute stays for ever
    "write.metadata.previous-versions-max": "100",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "100",
}


def catalog_of(address: TableAddress) -> Catalog:
    """The catalog that an address names.

    Raises:
        BadSetting: there is none of that name, or it cannot be opened.
    """
    if address.catalog != GLUE:
        try:
            return load_catalog(address.catalog)
        except Exception as error:  # pyiceberg raises what each catalog's libraries do
            raise BadSetting(
                f"pyiceberg's configuration has no catalog {address.catalog!r} that can be opened ({error}): put it"
                " into ~/.pyiceberg.yaml, or name glue"
            ) from error
    # Without retries: of an update whose answer was lost, the second one is refused as if it had not happened, and
    # pyiceberg would then delete files that the table has.
    glue = clients.client("glue", address.region, address.endpoint)
    options: dict[str, Any] = {
        "py-io-impl": "footpath.aws.s3.S3Files",
        "s3.region": glue.meta.region_name,
        "s3.endpoint": address.s3_endpoint,
        "warehouse": address.warehouse,
    }
    return GlueCatalog(GLUE, client=glue, **{name: value for name, value in options.items() if value is not None})


def make_command(address: TableAddress) -> str:
    """The command that makes a table."""
    return f"footpath setup aws --table '{address}' --apply"


def where(address: TableAddress) -> str:
    """A table's name for people."""
    return f"the table {address.namespace}.{address.table} in catalog {address.catalog}"


def open_table(catalog: Catalog, address: TableAddress) -> Table:
    """The table as it is now.

    Raises:
        BadSetting: it is not there, may not be read, or is not one that the sink can be safe with.
        AwsError: it could not be looked at just now, and that passes: throttled, not reached, or failing there.
    """
    try:
        table = catalog.load_table((address.namespace, address.table))
    except (NoSuchTableError, NoSuchNamespaceError) as error:
        raise BadSetting(f"{where(address)} does not exist: make it with `{make_command(address)}`") from error
    except clients.AwsError as error:
        if clients.passes(error):
            raise
        raise BadSetting(
            clients.sentence(
                error, what=where(address), permission="glue:GetTable and s3:GetObject", make=make_command(address)
            )
        ) from error
    if table.metadata.properties.get(RETRIES) != "0":
        raise BadSetting(
            f"{where(address)} has {RETRIES} = {table.metadata.properties.get(RETRIES)}, with which two sinks can write"
            f" the same actions: set it to 0 with `{make_command(address)}`"
        )
    found = {field.name: (field.field_id, field.field_type) for field in table.schema().fields}
    wanted = {field.name: (field.field_id, field.field_type) for field in SCHEMA.fields}
    if any(found.get(name) != kind for name, kind in wanted.items()):
        raise BadSetting(f"{where(address)} has other columns than footpath's: choose another name for the table")
    return table


def first_look(catalog: Catalog, address: TableAddress) -> Table:
    """The table, for a command that begins with it and is started again by whoever started it.

    Raises:
        BadSetting: see `open_table`.
        CommandFailed: it cannot be looked at just now.
    """
    try:
        return open_table(catalog, address)
    except (OSError, *clients.AwsError) as error:
        raise CommandFailed(unseen(address, error)) from error


def unseen(address: TableAddress, error: Exception) -> str:
    """Why a table could not be looked at, when that passes or its files are not as they should be."""
    told = clients.sentence(error, what=where(address), permission="s3:GetObject", make=make_command(address))
    return f"{told}; start again in a moment" if clients.passes(error) else told


def make_table(catalog: Catalog, address: TableAddress) -> Table:
    """Make the table, and what it stands in.

    Raises:
        CommandFailed: it cannot be made; the message says why.
    """
    try:
        catalog.create_namespace_if_not_exists((address.namespace,))
        return catalog.create_table(
            (address.namespace, address.table), SCHEMA, partition_spec=PARTITION, sort_order=SORT, properties=PROPERTIES
        )
    except clients.AwsError as error:
        what, permission = where(address), "glue:CreateDatabase, glue:CreateTable and s3:PutObject"
        raise CommandFailed(
            clients.sentence(error, what=what, permission=permission, make=make_command(address))
        ) from error
    except ValueError as error:
        raise CommandFailed(
            f"{where(address)} cannot be made: {error}; say where its files go, with ?warehouse=s3://BUCKET/PREFIX"
        ) from error

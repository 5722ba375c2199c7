"""The engine and the table that the settings of a server, or the flags of a command, name."""

from pyiceberg.catalog import Catalog

from footpath.aws.address import GLUE, AthenaAddress, TableAddress, find_address, table_address
from footpath.aws.athena import Athena
from footpath.aws.engine import Engine
from footpath.aws.table import catalog_of
from footpath.aws.trino import Trino
from footpath.config import Settings
from footpath.errors import BadSetting


def engine(settings: Settings) -> Engine:
    """What reads, and deletes from, the table of `find`.

    Raises:
        BadSetting: the address is wrong.
    """
    address = find_address(settings.find)
    if isinstance(address, AthenaAddress):
        return Athena(address, read_seconds=settings.read_seconds)
    return Trino(address, read_seconds=settings.read_seconds)


def catalog_and_address(settings: Settings) -> tuple[Catalog, TableAddress]:
    """Where the table of `find` is noted, for what is not done in SQL.

    Raises:
        BadSetting: `table` is missing or wrong.
    """
    if settings.table:
        address = table_address(settings.table)
    else:
        found = find_address(settings.find)
        if not isinstance(found, AthenaAddress):
            raise BadSetting(
                f"--find {settings.find} needs --table iceberg://CATALOG/NAMESPACE/TABLE beside it: there it is noted"
                " whom to forget"
            )
        address = TableAddress(GLUE, found.database, found.table, found.region)
    return catalog_of(address), address

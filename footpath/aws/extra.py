"""What this room says where its libraries are not installed. Imports none of them."""

import contextlib
from collections.abc import Iterator

from footpath.errors import BadSetting


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Around imports of this room's modules.

    Raises:
        BadSetting: one of the libraries is not there; the message is the command that installs them.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "footpath":
            raise
        raise BadSetting(
            f"Kinesis, Iceberg and Athena need more than the base install ({error.name} is not there):"
            " pip install 'footpath[aws]'"
        ) from error

"""moto's server, but its Glue refuses to update a table that has changed since, as AWS's does: `glue.py HOST PORT`.

moto 5.2 takes no notice of the version that an update names; but that is the compare-and-swap on which Iceberg's
commits rest, so of two commits the first would be lost.
"""

import sys
import threading

from moto.core.responses import ActionResult
from moto.glue.exceptions import GlueClientError
from moto.glue.responses import GlueResponse
from moto.server import main

_one_at_a_time = threading.Lock()
_update = GlueResponse.update_table


def update_table(request: GlueResponse) -> ActionResult:
    """Update a table if the version that the request names is its present one, or if it names none."""
    expected = request.parameters.get("VersionId")
    database, name = request.parameters["DatabaseName"], request.parameters["TableInput"]["Name"]
    with _one_at_a_time:
        present = request.glue_backend.get_table(database, name).as_dict()["VersionId"]
        if expected is not None and expected != present:
            code = "ConcurrentModificationException"
            raise GlueClientError(code, f"Update table failed due to concurrent modifications of {database}.{name}")
        return _update(request)


if __name__ == "__main__":
    GlueResponse.update_table = update_table
    main(["-H", sys.argv[1], "-p", sys.argv[2]])

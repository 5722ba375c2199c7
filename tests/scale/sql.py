"""SQL to Trino over its own HTTP API, for tests that look at a table with other eyes than footpath's."""

import http.client
import json
from contextlib import closing
from typing import Any

from tests.scale.servers import Trino

QUERY_SECONDS = 120.0


def rows(server: Trino, statement: str) -> list[list[Any]]:
    """All rows of a statement in the server's catalog, values as JSON has them.

    Raises:
        AssertionError: Trino refused it, with its words.
    """
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=QUERY_SECONDS)) as connection:
        headers = {"X-Trino-User": "tests", "X-Trino-Catalog": server.catalog, "X-Trino-Time-Zone": "UTC"}
        connection.request("POST", "/v1/statement", body=statement.encode(), headers=headers)
        found: list[list[Any]] = []
        while True:
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            answer = json.loads(body)
            assert "error" not in answer, f"{statement}: {answer['error']['message']}"
            found += answer.get("data", [])
            if "nextUri" not in answer:
                return found
            connection.request("GET", answer["nextUri"].partition(str(server.port))[2], headers=headers)

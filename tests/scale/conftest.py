"""The stand-ins for AWS, each started once for all tests that ask for it; streams and tables are each test's own."""

from collections.abc import Iterator

import pytest

from tests.scale import servers


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3]:
    """An S3 with a bucket."""
    with servers.s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def kinesis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Kinesis]:
    """A Kinesis."""
    with servers.kinesis(tmp_path_factory.mktemp("kinesis")) as server:
        yield server


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Glue]:
    """A Glue."""
    with servers.glue(tmp_path_factory.mktemp("glue")) as server:
        yield server


@pytest.fixture(scope="session")
def trino(tmp_path_factory: pytest.TempPathFactory, s3: servers.S3, glue: servers.Glue) -> Iterator[servers.Trino]:
    """A Trino over the S3 and the Glue."""
    with servers.trino(tmp_path_factory.mktemp("trino"), s3, glue) as server:
        yield server


@pytest.fixture(scope="session")
def aws(s3: servers.S3, kinesis: servers.Kinesis, glue: servers.Glue) -> Iterator[dict[str, str]]:
    """The environment in which boto3 finds these servers in place of AWS: set here, and to be given to processes."""
    environment = {
        **s3.environment,
        "AWS_ENDPOINT_URL_KINESIS": kinesis.endpoint,
        "AWS_ENDPOINT_URL_GLUE": glue.endpoint,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment

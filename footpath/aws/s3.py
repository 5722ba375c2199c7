"""S3 for pyiceberg, through boto3: credentials and endpoints are found as by everything else here.

pyarrow's own S3 client looks for credentials in other places, and always uploads in parts, which some servers refuse.
The files that go through here are small (metadata, manifests, the sink's own), and are read and written whole.
"""

import io
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.typedef import EMPTY_DICT, Properties

TRIES = 5  # of a call: each may be made again without harm
_ABSENT = frozenset(("404", "NoSuchKey", "NotFound"))


class _Upload(io.BytesIO):
    """What is written, put when it is closed."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self._put = put

    def close(self) -> None:
        if not self.closed:
            self._put(self.getvalue())
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            super().close()  # what was not written to its end is not put


class S3Input(InputFile):
    """An object to read."""

    def __init__(self, location: str, client: Any) -> None:
        """Name it: `s3://bucket/key`."""
        super().__init__(location)
        self._client = client
        self._named = _named(location)

    def __len__(self) -> int:
        """Its bytes."""
        return int(self._client.head_object(**self._named)["ContentLength"])

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            self._client.head_object(**self._named)
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return False
            raise
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002, FBT001, FBT002 - pyiceberg's signature
        """Read it whole.

        Raises:
            FileNotFoundError: it is not there.
        """
        try:
            return io.BytesIO(self._client.get_object(**self._named)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                raise FileNotFoundError(self.location) from error
            raise


class S3Output(OutputFile):
    """An object to write."""

    def __init__(self, location: str, client: Any) -> None:
        """Name it: `s3://bucket/key`."""
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        """Its bytes."""
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Whether it is there."""
        return self.to_input_file().exists()

    def to_input_file(self) -> InputFile:
        """The same object, to read."""
        return S3Input(self.location, self._client)

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002 - pyiceberg's signature
        """A stream that is put when it is closed.

        Raises:
            FileExistsError: it is there, and not to be written over.
        """
        if not overwrite and self.exists():
            raise FileExistsError(self.location)
        named = _named(self.location)
        return _Upload(lambda content: self._client.put_object(Body=content, **named))


class S3Files(FileIO):
    """Objects of S3, by their locations."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        """Take region and endpoint from `s3.region` and `s3.endpoint`."""
        super().__init__(properties)
        self._client = _client(properties.get("s3.region"), properties.get("s3.endpoint"))

    def new_input(self, location: str) -> InputFile:
        """See `FileIO`."""
        return S3Input(location, self._client)

    def new_output(self, location: str) -> OutputFile:
        """See `FileIO`."""
        return S3Output(location, self._client)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """See `FileIO`; what is not there is as good as deleted."""
        self._client.delete_object(**_named(location if isinstance(location, str) else location.location))


@lru_cache
def _client(region: str | None, endpoint: str | None) -> Any:
    """A client that every table which is loaded uses: to make one takes a tenth of a second."""
    return boto3.session.Session(region_name=region).client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            request_checksum_calculation="when_required",  # older servers refuse the trailing ones
            response_checksum_validation="when_required",
        ),
    )


def _named(location: str) -> dict[str, str]:
    split = urlsplit(location, allow_fragments=False)
    if split.scheme not in {"s3", "s3a", "s3n"} or not split.netloc:
        raise ValueError(f"{location} is no object of S3")
    return {"Bucket": split.netloc, "Key": location.partition("://")[2].partition("/")[2]}

"""Clients of AWS, and what their failures mean for people.

boto3 finds credentials its own way (environment, profile, role). Its own retries are switched off: what is tried again,
and for how long, is said where it is done.
"""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.exceptions import (
    ConnectionError as UnreachableError,
)

from footpath.errors import BadSetting

CONNECT_SECONDS = 3  # a host in the same region answers in a millisecond
READ_SECONDS = 15  # PutRecords of 5 MB takes a tenth of that
THROTTLED = frozenset(
    (
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    )
)
_PASSING = frozenset(("OperationTimeoutException", "RequestTimeout", "InternalServiceException", "InternalFailure"))
_FORBIDDEN = frozenset(("AccessDeniedException", "AccessDenied", "KMSAccessDeniedException", "AccessDeniedFault"))
_BAD_CREDENTIALS = frozenset(
    ("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken",
     "InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidAccessKeyId", "IncompleteSignature")
)  # fmt: skip
_MISSING = frozenset(("ResourceNotFoundException", "EntityNotFoundException", "NoSuchBucket"))

AwsError = (BotoCoreError, ClientError)
"""Everything that a client raises."""


def client(service: str, region: str | None, endpoint: str | None, *, connections: int = 10) -> Any:
    """A client of a service; it may be used by several threads.

    Raises:
        BadSetting: there is no region.
    """
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=connections,
        parameter_validation=False,  # half of the time of a call with 500 records; what we send is of one form
        tcp_keepalive=True,
    )
    try:
        return boto3.session.Session(region_name=region).client(service, endpoint_url=endpoint, config=config)
    except NoRegionError as error:
        raise BadSetting(
            "no AWS region is known: add ?region=eu-central-1 to the address, or set AWS_REGION"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise BadSetting(f"cannot make a client of {service}: {error}") from error


def code(error: Exception) -> str:
    """The code that AWS gave an error, or the name of what happened on this side."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def is_missing(error: Exception) -> bool:
    """Whether what the call was about does not exist."""
    return code(error) in _MISSING


def passes(error: Exception) -> bool:
    """Whether the same call can succeed in a moment: it was throttled, nothing answered, or the service failed."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code(error) in THROTTLED or code(error) in _PASSING or status == 429 or status >= 500
    return isinstance(error, (UnreachableError, HTTPClientError))


def sentence(error: Exception, *, what: str, permission: str, make: str) -> str:
    """Why a call failed, and the next step.

    Args:
        error: what the client raised.
        what: the thing that it was about, like `the stream actions in eu-central-1`.
        permission: the IAM action that the call needs.
        make: the command that makes the thing where it is missing.
    """
    named = code(error)
    if named in _MISSING:
        return _absent(error, what, make)
    if named in _FORBIDDEN:
        return f"{what}: permission {permission} is missing: add it to the role or user ({_message(error)})"
    if named in _BAD_CREDENTIALS:
        return f"{what}: AWS refuses the credentials ({named}): `aws sts get-caller-identity` shows which they are"
    if isinstance(error, NoCredentialsError):
        return (
            "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run"
            " with a role; `aws sts get-caller-identity` shows what is there"
        )
    if isinstance(error, UnreachableError):
        return f"{what} cannot be reached: {error}"
    return f"{what}: {named}: {_message(error)}"


def _absent(error: Exception, what: str, make: str) -> str:
    if code(error) != "NoSuchBucket" or not isinstance(error, ClientError):
        return f"{what} does not exist: make it with `{make}`"
    bucket = error.response.get("Error", {}).get("BucketName", "BUCKET")
    return f"{what}: the bucket {bucket} does not exist: make it with `aws s3 mb s3://{bucket}`, or name another"


def _message(error: Exception) -> str:
    told = error.response.get("Error", {}).get("Message") if isinstance(error, ClientError) else None
    return str(told or error)

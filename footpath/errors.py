"""Everything that footpath refuses or fails at, as one small tree.

    FootpathError
    ├── RequestError            the sender can mend it; sending the same again gives the same answer
    │   ├── NotJson             not_json
    │   ├── NotBatches          not_batches
    │   ├── TooLarge            too_large
    │   ├── UnknownEncoding     unknown_encoding
    │   ├── BadKey              bad_key
    │   ├── KeyReused           key_reused
    │   ├── BadQuery            bad_query
    │   ├── NotAcceptable       not_acceptable
    │   ├── Unauthorized        unauthorized
    │   └── Forbidden           forbidden
    ├── Unavailable             nothing is wrong with the request; send it again later
    │   ├── Busy                busy
    │   ├── OverRate            over_rate
    │   ├── JournalFull         journal_full
    │   ├── JournalFailed       journal_failed
    │   ├── ReadFailed          read_failed
    │   └── ForgetFailed        forget_failed
    └── OperatorError           whoever runs footpath can mend it
        ├── BadSetting          bad_setting
        ├── FolderUnusable      folder_unusable
        ├── FolderInUse         folder_in_use
        ├── SchemaUnknown       schema_unknown
        ├── PartDamaged         part_damaged
        └── CommandFailed       command_failed

An error carries a stable `code`, a sentence for people that names the thing and the next step, and `retry`.
HTTP statuses are the business of `footpath.web.responses`.
"""

from typing import ClassVar


class FootpathError(Exception):
    """What footpath refuses or fails at; `str()` is a sentence for people."""

    code: ClassVar[str] = "error"
    retry: ClassVar[bool] = False


class RequestError(FootpathError):
    """The request cannot be served as it is."""


class NotJson(RequestError):
    """The body is not JSON (or not gzip of JSON)."""

    code = "not_json"


class NotBatches(RequestError):
    """The body is JSON, but neither a batch nor an array of batches."""

    code = "not_batches"


class TooLarge(RequestError):
    """The body, before or after gunzip, or its number of actions is over the limit."""

    code = "too_large"


class UnknownEncoding(RequestError):
    """The body comes in a content encoding other than gzip."""

    code = "unknown_encoding"


class BadKey(RequestError):
    """The Idempotency-Key is empty or too long."""

    code = "bad_key"


class KeyReused(RequestError):
    """The Idempotency-Key was used before with another body."""

    code = "key_reused"


class BadQuery(RequestError):
    """A parameter is missing, unknown or does not parse."""

    code = "bad_query"


class NotAcceptable(RequestError):
    """None of the media types in Accept can be given."""

    code = "not_acceptable"


class Unauthorized(RequestError):
    """No key came with the request, or one that is not known, has expired or was revoked."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The key is good, but not for this: its role or its origins do not allow it."""

    code = "forbidden"


class Unavailable(FootpathError):
    """Nothing is wrong with the request; the same can succeed later."""

    retry = True

    def __init__(self, message: str, wait: float | None = None) -> None:
        """Say why, and in how many seconds it can succeed where that is known."""
        super().__init__(message)
        self.wait = wait


class Busy(Unavailable):
    """As much is going on as the limits allow."""

    code = "busy"


class OverRate(Unavailable):
    """The key has sent more than its rate allows."""

    code = "over_rate"


class JournalFull(Unavailable):
    """More is waiting in the journal or in memory than its limit allows."""

    code = "journal_full"


class JournalFailed(Unavailable):
    """A write or fsync of the journal failed; nothing of the request was kept."""

    code = "journal_failed"


class ReadFailed(Unavailable):
    """What is stored could not be read just now."""

    code = "read_failed"


class ForgetFailed(Unavailable):
    """Not everything of a user is removed yet; it goes on, and asking again gives the receipt when it is done."""

    code = "forget_failed"


class OperatorError(FootpathError):
    """Whoever runs footpath can mend it."""


class BadSetting(OperatorError):
    """A flag, environment variable or line of the settings file is wrong."""

    code = "bad_setting"


class FolderUnusable(OperatorError):
    """The data folder cannot be made, read or written."""

    code = "folder_unusable"


class FolderInUse(OperatorError):
    """Another footpath holds the data folder."""

    code = "folder_in_use"


class SchemaUnknown(OperatorError):
    """The database is not footpath's, or was written by a newer or an older one."""

    code = "schema_unknown"


class PartDamaged(OperatorError):
    """A part is missing or is not what was written."""

    code = "part_damaged"


class CommandFailed(OperatorError):
    """A command cannot do what was asked."""

    code = "command_failed"

"""A source -> chunks -> a target, with an account of every action: accepted, duplicate or refused, and why."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from footpath.action import Reject
from footpath.errors import CommandFailed
from footpath.importing.chunk import Chunk, Refused, Where, chunks
from footpath.importing.scan import Unbounded, records
from footpath.importing.source import Source
from footpath.importing.target import Target

UNREADABLE = {"not_json", "not_batches", "too_large"}
"""The codes of records in which no action can be told from another."""


@dataclass
class Account:
    """What became of everything so far. `codes` counts what was refused."""

    accepted: int = 0
    duplicates: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        """How many actions, or records that hold none that can be read, were refused."""
        return self.codes.total()

    @property
    def is_unreadable(self) -> bool:
        """Whether there was something, and none of it held an action."""
        return self.rejected > 0 and self.accepted + self.duplicates == 0 and self.codes.keys() <= UNREADABLE


def run(source: Source, target: Target, account: Account, refuse: Callable[[Refused], None]) -> Iterator[None]:
    """Import a source, pausing after each chunk and each refusal between them; it is done when the iterator ends.

    Args:
        source: what to read.
        target: where to.
        account: is brought up to date before each pause.
        refuse: is told of everything refused.

    Raises:
        CommandFailed: while iterating: the source cannot be read to its end. The chunks before are stored; the one that
            was being put together is not, so that its key is right when the source has been mended.
    """

    def count(refused: Refused) -> None:
        account.codes[refused.code] += 1
        refuse(refused)

    try:
        for found in chunks(records(source.blocks())):
            if isinstance(found, Chunk):
                stored = target.store(found)
                account.accepted += stored.accepted
                account.duplicates += stored.duplicates
                for refused in sorted([_refused(found, reject) for reject in stored.rejects], key=_place):
                    count(refused)
            else:
                count(found)
            yield
    except Unbounded as error:
        raise CommandFailed(
            f"{source.name} cannot be read further: {error}; write it as NDJSON, one batch or row a line"
        ) from error


def _refused(chunk: Chunk, reject: Reject) -> Refused:
    line, action, raw = chunk.batches[reject.batch][reject.action]
    return Refused(Where(line, action), reject.code, reject.message, raw)


def _place(refused: Refused) -> tuple[int, int]:
    return refused.where.line, refused.where.action or 0

"""Where chunks go: what a data folder and a running server have in common, and the latter."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple, Protocol

from footpath.action import Reject
from footpath.errors import CommandFailed
from footpath.importing.chunk import Chunk
from footpath.sending.patient import PatientSender


class Stored(NamedTuple):
    """What became of a chunk's actions: accepted now, kept before under the same key, or rejected for a reason."""

    accepted: int
    duplicates: int
    rejects: list[Reject]


class Target(Protocol):
    """Stores chunks: each is durable, once, when `store` returns; what it raises can be cured by running again."""

    def store(self, chunk: Chunk) -> Stored:
        """Store a chunk unless its key says that it is there already."""
        ...


class ServerTarget:
    """Stores chunks through a running server."""

    def __init__(self, client: PatientSender) -> None:
        """Send through a client."""
        self._client = client

    def store(self, chunk: Chunk) -> Stored:
        """See `Target.store`."""
        answer = self._client.submit(chunk.body, chunk.key)
        if answer.accepted + answer.duplicates + len(answer.rejected) != chunk.actions:
            raise CommandFailed(
                f"the server's answer does not add up: {answer.accepted} accepted, {answer.duplicates} duplicates and"
                f" {len(answer.rejected)} rejected of {chunk.actions}"
            )
        if answer.again:
            return Stored(0, answer.accepted + answer.duplicates, answer.rejected)
        return Stored(answer.accepted, answer.duplicates, answer.rejected)


@contextmanager
def opened(url: str, key: str | None = None) -> Iterator[ServerTarget]:
    """Store through the server at an address, with a key if it asks for one."""
    with closing(PatientSender(url, key)) as client:
        yield ServerTarget(client)

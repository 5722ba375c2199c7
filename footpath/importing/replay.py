"""Kept rejects -> the same checks -> a target: those that pass now are stored and removed, the others stay.

A reject is judged here first, so that one that fails again keeps its row, with the reason of now. One that passes is
sent alone, under a key made of its id and its bytes: however a replay is interrupted and whatever is chosen the next
time, nothing is stored twice while keys are remembered. What a server refuses though it passed here, since it is of
another version, is kept by that server. One of which only the beginning was kept cannot be sent.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import apsw
from msgspec.json import encode

from footpath import decode
from footpath.errors import RequestError
from footpath.importing.chunk import Chunk
from footpath.importing.target import Target
from footpath.journal import rejected
from footpath.journal.rejected import Chosen, KeptReject

_STEP = 500


@dataclass
class Replayed:
    """What became of rejects so far: `moved` are those that a server refused, and keeps now."""

    accepted: int = 0
    duplicates: int = 0
    moved: int = 0
    failed: int = 0
    cut: int = 0


def run(connection: apsw.Connection, chosen: Chosen, target: Target, account: Replayed) -> Iterator[None]:
    """Replay the chosen rejects, oldest first, pausing after each; it is done when the iterator ends."""
    after = 0
    while found := rejected.read(connection, chosen, limit=_STEP, after=after):
        for reject in found:
            _replay(connection, reject, target, account)
            yield
        after = found[-1].id


def _replay(connection: apsw.Connection, reject: KeptReject, target: Target, account: Replayed) -> None:
    if reject.is_cut:
        account.cut += 1
        return
    session = encode(reject.user_id), encode(reject.session_id)
    body = b'[{"userId":%b,"sessionId":%b,"actions":[%b]}]' % (*session, reject.raw)
    try:
        again = decode.read(body).rejects
    except RequestError as error:  # JSON that cannot even be taken apart: what was half a surrogate pair, or nested
        rejected.note(connection, reject.id, "not_an_action", str(error))
        account.failed += 1
        return
    if again:
        rejected.note(connection, reject.id, again[0].code, again[0].message)
        account.failed += 1
        return
    key = f"footpath-replay-{reject.id}-{hashlib.sha256(body).hexdigest()}"
    stored = target.store(Chunk(key, body, 1, [[(0, None, reject.raw)]]))
    account.accepted += stored.accepted
    account.duplicates += stored.duplicates
    account.moved += len(stored.rejects)
    rejected.drop(connection, Chosen(ids=[reject.id]))

"""The ring: what it finds, when it looks again, and what it does when it cannot."""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from footpath import database
from footpath.errors import BadSetting, OverRate, ReadFailed, Unauthorized
from footpath.keys import ring as ring_module
from footpath.keys import table
from footpath.keys.key import Key, draw
from footpath.keys.ring import BLIND_SECONDS, LOOK_SECONDS, RECHECK_SECONDS, Ring
from footpath.keys.source import FileKeys, TableKeys, exported
from footpath.web import auth


class Folder:
    """A data folder, a ring on it, and the two clocks."""

    def __init__(self, path: Path) -> None:
        """Make it."""
        self.path = path
        self.now = 1000.0
        database.prepare(path)
        self.connection = database.connect(path)
        self.looks = 0

    def ring(self, *, is_private: bool = True) -> Ring:
        """A ring that has read what there is; its statements are counted from then on."""
        source = TableKeys(self.path)
        made = Ring(source, is_private=is_private, monotonic=lambda: self.now, clock=lambda: self.now)
        source.connection.exec_trace = self._count
        self.looks = 0
        return made

    def create(self, name: str, **more: object) -> bytes:
        """Make a key that writes, if nothing else is said."""
        return table.create(self.connection, Key(**{"name": name, "role": "write", **more})).encode()  # type: ignore[arg-type]

    def _count(self, _cursor: object, sql: str, _bindings: object) -> bool:
        self.looks += "keys_version" in sql
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder without keys."""
    made = Folder(tmp_path / "data")
    with closing(made.connection):
        yield made


def test_only_a_private_server_without_any_key_is_open(folder: Folder) -> None:
    """No key is asked for where none was ever made and only this machine gets in; a revoked one still counts."""
    with closing(folder.ring(is_private=False)) as public, closing(folder.ring()) as private:
        assert (private.is_open, public.is_open) == (True, False)
        folder.create("k")
        table.revoke(folder.connection, "k", 1)
        folder.now += LOOK_SECONDS
        private.refresh()
        public.refresh()
        assert (private.is_open, public.is_open) == (False, False)


def test_it_looks_only_when_asked_and_when_it_is_time(folder: Folder) -> None:
    """However many requests come, SQLite is read once in LOOK_SECONDS; while none come, never."""
    key = folder.create("k")
    with closing(folder.ring()) as ring:
        for _ in range(100):
            ring.refresh()
            assert ring.find(key).key.name == "k"
        assert folder.looks == 0
        folder.now += 3600
        assert folder.looks == 0
        for _ in range(100):
            ring.refresh()
        assert folder.looks == 1


def test_a_new_key_is_found_at_once(folder: Folder) -> None:
    """A key that was made a moment ago is good, without waiting for the next look."""
    with closing(folder.ring()) as ring:
        folder.now += RECHECK_SECONDS
        ring.refresh()
        assert ring.find(folder.create("k")).key.name == "k"


def test_guessing_is_no_work_for_sqlite(folder: Folder) -> None:
    """A thousand unknown keys in a moment make it look once; what has not the form of a key, never."""
    folder.create("k")
    with closing(folder.ring()) as ring:
        folder.now += RECHECK_SECONDS
        for _ in range(1000):
            with pytest.raises(Unauthorized, match="not known"):
                ring.find(draw("admin").encode())
        assert folder.looks == 1
        folder.now += RECHECK_SECONDS
        for text in (b"", b"fp_write_", b"\xff" * 41, b"x" * 10_000):
            with pytest.raises(Unauthorized, match="not a key"):
                ring.find(text)
        assert folder.looks == 1


def test_a_revoked_key_is_refused_after_the_next_look(folder: Folder) -> None:
    """A key that was good is not any more when it was revoked and LOOK_SECONDS have passed."""
    key = folder.create("k")
    with closing(folder.ring()) as ring:
        ring.find(key)
        table.revoke(folder.connection, "k", 1)
        folder.now += LOOK_SECONDS
        ring.refresh()
        with pytest.raises(Unauthorized, match="'k' was revoked"):
            ring.find(key)


def test_expiry_needs_no_look(folder: Folder) -> None:
    """A key ends by the clock, at its microsecond."""
    key = folder.create("k", expires_at=1_000_100_000)
    with closing(folder.ring()) as ring:
        folder.now = 1000.0999
        ring.find(key)
        folder.now = 1000.1
        with pytest.raises(Unauthorized, match="expired"):
            ring.find(key)
        assert folder.looks == 0


def test_a_rate_outlives_changes_of_other_keys(folder: Folder) -> None:
    """A key that has sent all it may does not get a new bucket when another key is made."""
    key = folder.create("k", rate=1.0)
    with closing(folder.ring()) as ring:
        ring.find(key).charge(5000)
        folder.create("other")
        folder.now += LOOK_SECONDS
        ring.refresh()
        assert ring.find(key).bucket is not None
        assert ring.find(key).bucket.take(1, folder.now) > 1000  # type: ignore[union-attr]


def test_blind_it_answers_for_a_while_and_then_refuses(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While SQLite cannot be read, keys stay good for BLIND_SECONDS and then nothing does, until it can be."""
    key = folder.create("k")
    with closing(folder.ring()) as ring, monkeypatch.context() as broken:

        def fail(_connection: apsw.Connection) -> int:
            raise apsw.IOError

        broken.setattr(table, "version", fail)
        folder.now += BLIND_SECONDS
        ring.refresh()
        ring.find(key)
        folder.now += LOOK_SECONDS
        with pytest.raises(ReadFailed):
            ring.refresh()
        broken.undo()
        ring.refresh()
        ring.find(key)


def test_digests_are_compared_in_constant_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a digest is the one that was kept is decided by hmac.compare_digest, over all of it."""
    key = folder.create("k")
    asked: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        asked.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(ring_module, "compare_digest", compare)
    with closing(folder.ring()) as ring:
        ring.find(key)
        wanted = hashlib.sha256(key).digest()
        assert asked == [(wanted, wanted)]
        near = wanted[:8] + bytes(24)
        assert ring._match(near) is None
        assert asked[1:] == [(wanted, near)]


def test_what_is_remembered_is_bounded(folder: Folder) -> None:
    """However many keys are tried, no more are remembered than there are good ones."""
    key = folder.create("k")
    with closing(folder.ring()) as ring:
        ring.find(key)
        for _ in range(100):
            with pytest.raises(Unauthorized):
                ring.find(draw("write").encode())
        assert list(ring._known) == [key]
        folder.create("other")
        folder.now += LOOK_SECONDS
        ring.refresh()
        assert ring._known == {}


def test_a_key_is_in_no_repr_and_no_message(folder: Folder) -> None:
    """What is printed of a ring, a grant, a key or a refusal does not hold the key."""
    key = folder.create("k", expires_at=1_000_100_000)
    with closing(folder.ring()) as ring:
        grant = ring.find(key)
        folder.now += 1
        said = [repr(ring), repr(grant), str(grant), repr(grant.key)]
        for wrong in (key, draw("read").encode()):
            with pytest.raises(Unauthorized) as refused:
                ring.find(wrong)
            said.append(repr(refused.value))
            assert wrong.decode()[9:] not in "".join(said)
        assert key.decode()[9:] not in "".join(said)


def test_the_database_does_not_hold_the_key(folder: Folder) -> None:
    """No file of the folder has the key in clear, and the table has its sha256."""
    key = folder.create("k")
    folder.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(folder.path / database.FILE_NAME)) as plain:
        assert plain.execute("SELECT digest FROM keys").fetchone() == (hashlib.sha256(key).digest(),)
    for file in folder.path.rglob("*"):
        assert not file.is_file() or key[9:] not in file.read_bytes()


def test_a_file_of_keys_is_as_good_as_the_folder_they_came_from(folder: Folder, tmp_path: Path) -> None:
    """What was exported lets the same keys in with the same rights, and a file put in its place is seen in time."""
    key = folder.create("k", origins=("https://shop.example",), rate=7.0)
    file = tmp_path / "keys.ndjson"
    file.write_bytes(exported(table.load(folder.connection)[1]))
    with closing(Ring(FileKeys(file), is_private=False, monotonic=lambda: folder.now)) as ring:
        assert ring.find(key).key == table.load(folder.connection)[1][0][0]
        table.revoke(folder.connection, "k", 1)
        file.write_bytes(exported(table.load(folder.connection)[1]))
        folder.now += LOOK_SECONDS
        ring.refresh()
        with pytest.raises(Unauthorized, match="revoked"):
            ring.find(key)


@pytest.mark.parametrize("content", [None, b"{}", b"\xff", b'{"key": {"name": "k", "role": "owner"}, "sha256": "00"}'])
def test_a_file_that_holds_no_keys_is_refused_with_the_way_to_make_one(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there, or is not what was exported, is a BadSetting that names it and the command."""
    file = tmp_path / "keys.ndjson"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSetting, match=r"could not be read.*footpath key export --data FOLDER > .*keys\.ndjson"):
        FileKeys(file)


def test_who_was_let_in_before_is_asked_again_what_can_have_changed(folder: Folder) -> None:
    """With what the same head was let in with, its key is not looked up; revoked or too late it ends."""
    key = folder.create("k", rate=1.0, expires_at=2_000_000_000)
    looked_up: list[str] = []

    def found() -> auth.Sent:
        looked_up.append("k")
        return auth.sent([(b"x-api-key", key)])

    with closing(folder.ring()) as ring:
        gate = auth.Gate(lambda: ring)
        grant = gate.admit("write", found)
        assert gate.admit("write", found, grant) is grant
        assert len(looked_up) == 1
        grant.charge(100)
        with pytest.raises(OverRate):
            gate.admit("write", found, grant)
        folder.now = 1999.0
        assert gate.admit("write", found, grant) is grant
        folder.create("another")
        folder.now += LOOK_SECONDS
        anew = gate.admit("write", found, grant)
        assert (anew is grant, len(looked_up)) == (False, 2)
        folder.now = 2000.0
        with pytest.raises(Unauthorized, match="expired"):
            gate.admit("write", found, anew)
        table.revoke(folder.connection, "k", 1)
        folder.now += LOOK_SECONDS
        with pytest.raises(Unauthorized, match="revoked"):
            gate.admit("write", found, anew)


def test_who_was_let_in_without_a_key_needs_one_once_there_are_keys(folder: Folder) -> None:
    """What an open server let in is asked for a key from the first key on."""
    with closing(folder.ring()) as ring:
        gate = auth.Gate(lambda: ring)
        before = gate.admit("write", lambda: auth.sent([]))
        assert gate.admit("write", lambda: auth.sent([]), before) is before
        folder.create("k")
        folder.now += LOOK_SECONDS
        with pytest.raises(Unauthorized, match="no key came"):
            gate.admit("write", lambda: auth.sent([]), before)

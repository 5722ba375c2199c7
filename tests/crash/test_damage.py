"""Bits are flipped, ends cut off and blocks lost, in parts and in the database: found, named, not served, survived.

DAMAGES sets how many parts and how many databases are damaged, SEED the seed.
"""

import http.client
import json
import random
import shutil
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from footpath import database
from footpath.store.local import LocalStore
from tests.crash.load import Load
from tests.crash.oracle import Notes
from tests.crash.process import EVERYTHING, Server, check_folder, keepers_of, wait_for
from tests.proof import SEED, publish, times

DAMAGES = times("DAMAGES", 3)
pytestmark = pytest.mark.torture  # tests/unit/test_whole.py has the short form


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Notes]:
    """A folder with several parts and some hot rows, and what was acknowledged in it."""
    folder = tmp_path_factory.mktemp("damage") / "data"
    notes = Notes(folder.with_name("acknowledged"))
    server = Server(folder)
    try:
        server.start()
        load = Load(server, notes, SEED, connections=8)
        with load.running():
            wait_for("actions", lambda: len(notes.acknowledged) > 2_000)
        server.settle()
    finally:
        server.stop()
    later = Server(folder, FOOTPATH_FLUSH_SECONDS="3600", FOOTPATH_FLUSH_ACTIONS="100000")
    try:
        later.start()
        load = Load(later, notes, SEED + 1, connections=8, numbers=iter(range(10**9, 2 * 10**9)))
        with load.running():
            before = len(notes.acknowledged)
            wait_for("hot actions", lambda: len(notes.acknowledged) > before + 200)
        assert notes.judge(later.everything()).clean
    finally:
        later.stop()
    assert check_folder(folder).returncode == 0
    return folder, notes


def damage(file: Path, chance: random.Random) -> str:
    """Damage a file in one of the ways that disks do; which."""
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    way = chance.choice(("flip", "flip", "cut", "block", "zeros"))
    if way == "flip":
        content[place] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del content[place:]
    elif way == "block":
        start = place // 512 * 512
        content[start : start + 512] = chance.randbytes(len(content[start : start + 512]))
    else:
        start = place // 4096 * 4096
        content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    changed = bytes(content) != file.read_bytes()
    file.write_bytes(content)
    return way if changed else "nothing"


def test_a_damaged_part_is_always_found(whole: tuple[Path, Notes], tmp_path: Path) -> None:
    """However a part is damaged, `footpath check` names it."""
    chance = random.Random(SEED)
    done: Counter[str] = Counter()
    folder = shutil.copytree(whole[0], tmp_path / "data")
    parts = live(folder)
    while done.total() < DAMAGES:
        part = chance.choice(parts)
        before = part.read_bytes()
        way = damage(part, chance)
        if way != "nothing":
            done[way] += 1
            checked = check_folder(folder)
            assert checked.returncode == 1, f"{part} was damaged by a {way}; seed {SEED}"
            assert f"parts/{part.name}: " in checked.stdout
        part.write_bytes(before)
    publish("damaged-parts", damaged=done.total(), found=done.total(), ways=done)


def live(folder: Path) -> list[Path]:
    """The files of the live parts."""
    with closing(LocalStore(folder)) as store:
        return [store.path(part) for part in store.live()]


def test_a_damaged_part_is_not_served_and_the_rest_is(whole: tuple[Path, Notes], tmp_path: Path) -> None:
    """Reads of a damaged part get 503 with the command that looks, others go on, and no process runs in circles.

    Writes go on, and are flushed and merged around the damaged run; when the part is mended all is served again.
    """
    folder = shutil.copytree(whole[0], tmp_path / "data")
    with closing(LocalStore(folder)) as store:
        parts = store.live()
    users = [f"user {number}" for number in range(200)]
    bad = min(parts, key=lambda part: sum(part.user_min <= user <= part.user_max for user in users))
    file = folder / "parts" / f"{bad.id}.parquet"
    before = file.read_bytes()
    flipped = bytearray(before)
    flipped[len(flipped) // 3] ^= 4
    file.write_bytes(flipped)
    server = Server(folder)
    try:
        server.start()
        (keeper,) = keepers_of(server.pid)
        status, said = server.get(f"/api/retrievelogs?userId={bad.user_min.replace(' ', '+')}")
        assert status == 503
        assert "footpath check" in json.loads(said)["message"]
        assert bad.id in json.loads(said)["message"]
        served = [user for user in users if not bad.user_min <= user <= bad.user_max]
        for user in served:
            assert server.get(f"/api/retrievelogs?userId={user.replace(' ', '+')}")[0] == 200
        assert served, "the damaged part holds all users: the test shows nothing"
        notes = Notes(tmp_path / "acknowledged")
        load = Load(server, notes, SEED + 2, connections=4, numbers=iter(range(2 * 10**9, 3 * 10**9)))
        with closing(notes), load.running():
            for turn in range(1, 4):
                wait_for("more actions", lambda turn=turn: len(notes.acknowledged) > turn * 300)  # type: ignore[misc]
                time.sleep(1)  # merges fall due
        wait_for("flushes", lambda: not hot(folder))
        assert keepers_of(server.pid) == [keeper], "the keeper did not survive"
        log = server.log.read_text(encoding="utf-8")
        assert log.count("the keeper failed") == 0
        assert log.count("a part is damaged") <= 2  # once the server, once the keeper
        assert bad.id in {path.stem for path in live(folder)}, "the damaged part was replaced"
        file.write_bytes(before)
        assert server.everything()
    finally:
        server.stop()
    assert check_folder(folder).returncode == 0


def hot(folder: Path) -> int:
    """How many actions are in the journal."""
    with closing(database.connect(folder, readonly=True)) as connection:
        seq, flushed = database.one(connection, "SELECT seq, flushed FROM state")
    return int(seq - flushed)


def test_a_damaged_database_does_no_harm_unseen(whole: tuple[Path, Notes], tmp_path: Path) -> None:
    """However the database is damaged: `footpath check` says so, or the server refuses, or all is as it was.

    What none of these sees is counted: SQLite keeps no checksums of its pages.
    """
    chance = random.Random(SEED)
    seen: Counter[str] = Counter()
    source, notes = whole
    for number in range(DAMAGES):
        folder = shutil.copytree(source, tmp_path / f"data-{number}")
        way = damage(folder / "footpath.db", chance)
        checked = check_folder(folder)
        assert "Traceback" not in checked.stdout + checked.stderr, checked.stderr
        if checked.returncode != 0:
            assert "footpath.db" in checked.stdout + checked.stderr or "database" in checked.stderr
            seen["named by check"] += 1
        else:
            seen[_unseen(folder, notes, way)] += 1
        _starts_or_says_why(folder)
        shutil.rmtree(folder)
    publish("damaged-database", damaged=DAMAGES, **seen)


def _unseen(folder: Path, notes: Notes, way: str) -> str:
    """What damage that the check did not see does to what is served."""
    server = Server(folder, FOOTPATH_FLUSH_SECONDS="3600", FOOTPATH_FLUSH_ACTIONS="100000")
    try:
        server.begin()
        wait_for("an end or an answer", lambda: _ended(server) or _answers(server))
        if _ended(server):
            return "refused by the server"
        status, body = server.get(EVERYTHING)
        if status != 200:
            return "refused by the server"
        verdict = notes.judge(body)
    except http.client.HTTPException:  # the answer was cut off, which is no answer
        return "refused by the server"
    finally:
        server.stop()
    return "harmless" if verdict.clean or way == "nothing" else "unseen and served"


def _starts_or_says_why(folder: Path) -> None:
    """A server over a damaged database is ready, or says what is wrong on /readyz, or ends with a sentence."""
    server = Server(folder)
    server.begin()
    try:
        wait_for("an end or an answer", lambda: _ended(server) or _answers(server))
        time.sleep(1)
        log = server.log.read_text(encoding="utf-8")
        if _ended(server):
            assert "Traceback" not in log, log
        assert log.count("the keeper ended") <= 1, "the keeper is started again and again"
    finally:
        server.stop()


def _ended(server: Server) -> bool:
    assert server.process is not None
    return server.process.poll() is not None


def _answers(server: Server) -> bool:
    try:
        return server.get("/healthz")[0] == 200
    except OSError:
        return False

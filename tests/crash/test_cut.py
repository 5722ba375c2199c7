"""The power is cut at random moments under load, and everything that was acknowledged before is on the disk.

The data folder is on a disk whose image can be copied in an instant (see `disks`). The copy is mounted, and a second
server started over it: that is what comes up after a power cut. CUTS sets their number, SEED the seed.
"""

import os
import random
import time
from pathlib import Path

import pytest

from tests.crash.disks import CutDisk, cut_disk, mounted, need
from tests.crash.load import Load
from tests.crash.oracle import NOTHING, Notes, Verdict
from tests.crash.process import Server, check_folder, wait_for
from tests.proof import SEED, publish, times

CUTS = times("CUTS", 2)
LIES = times("LIES", 1)
ROUND = 12  # cuts with one folder: each reads all of it
CONNECTIONS = 32
PACE = 0.3  # seconds between two requests of a connection: the machine has the recoveries to do too
LYING = ["strace", "-D", "-f", "-qq", "-o", os.devnull, "--seccomp-bpf", "-e", "trace=fdatasync,fsync"]
LYING += ["-e", "inject=fdatasync,fsync:retval=0"]


def recover(disk: CutDisk, notes: Notes, chance: random.Random, name: str) -> tuple[Verdict, bool]:
    """Cut the power, and look at what a server over the remains finds; whether the check calls it whole."""
    began = len(notes.acknowledged)
    wait_for("an acknowledgement", lambda: len(notes.acknowledged) > began)
    time.sleep(chance.uniform(0, 0.4))
    acknowledged = len(notes.acknowledged)
    image = disk.cut(name)
    with mounted(image, disk.folder / "after") as after:
        server = Server(after / "data", log=disk.folder / f"{name}.log")
        try:
            server.start()
            verdict = notes.judge(server.everything(), acknowledged)
        finally:
            server.stop()
        is_whole = check_folder(server.folder).returncode == 0
    image.unlink()
    return verdict, is_whole


def test_what_was_acknowledged_survives_power_cuts(tmp_path: Path) -> None:
    """After a power cut at any moment, what was acknowledged before is there, unaltered and once, and all is whole."""
    chance = random.Random(SEED)
    verdict = NOTHING
    total = NOTHING  # of all cuts: what was acknowledged before several of them is looked for after each
    acknowledged = 0
    for begun in range(0, CUTS, ROUND):
        with cut_disk(tmp_path / f"{begun}") as disk:
            server = Server(disk.path / "data", log=tmp_path / f"{begun}.log")
            notes = Notes(tmp_path / f"acknowledged-{begun}")
            try:
                server.start()
                with Load(server, notes, SEED + begun, CONNECTIONS, PACE).running():
                    for number in range(begun, min(CUTS, begun + ROUND)):
                        verdict, is_whole = recover(disk, notes, chance, f"cut-{number}")
                        print(f"cut {number}: {verdict}", flush=True)
                        assert verdict.clean, f"cut {number}: {verdict}; seed {SEED}"
                        assert is_whole, f"cut {number} left a damaged folder; seed {SEED}"
                        total += verdict
            finally:
                server.stop()
                notes.close()
        acknowledged += verdict.acknowledged
        publish(
            "cuts",
            cuts=min(CUTS, begun + ROUND),
            unreadable=0,
            acknowledged=acknowledged,
            looked_for=total.acknowledged,
            lost=total.lost,
            altered=total.altered,
            twice=total.twice,
        )
    assert acknowledged > CUTS


def test_a_disk_that_lies_is_seen(tmp_path: Path) -> None:
    """The control: when fsync does nothing and says it did, cuts lose acknowledged actions, and this method sees it."""
    need("strace")
    chance = random.Random(SEED)
    losses = []
    for number in range(LIES):
        with cut_disk(tmp_path / f"lie-{number}") as disk:
            folder = disk.path / "data"
            honest = Server(folder, log=tmp_path / "honest.log")
            honest.start()
            honest.stop()
            os.sync()
            server = Server(folder, log=tmp_path / "lying.log", under=LYING)
            notes = Notes(tmp_path / f"lies-{number}")
            try:
                server.start()
                with Load(server, notes, SEED + number, CONNECTIONS, PACE).running():
                    verdict, _ = recover(disk, notes, chance, "lie")
            except AssertionError as error:  # what is left may be too broken to start from
                pytest.fail(f"the lying disk could not be recovered at all: {error}")
            finally:
                server.stop()
                notes.close()
            losses.append(verdict.lost)
    publish("lies", cuts=LIES, cuts_with_loss=sum(map(bool, losses)), lost=sum(losses))
    assert all(losses), f"a cut of a disk without fsync lost nothing: the method is blind; {losses}"

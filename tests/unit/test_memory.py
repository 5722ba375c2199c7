"""How much memory there is, and what the settings make of it."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from footpath import memory as of_memory
from footpath.config import Settings, in_bytes, read_settings
from footpath.memory import given, shares

MIB = 2**20


def system(root: Path, lines: str, limits: dict[str, str]) -> Path:
    """A folder with the files of a system whose process is in these groups, which have these limits."""
    for name, text in {"proc/self/cgroup": lines, **limits}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("lines", "limits", "wanted"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": f"{300 * MIB}\n"}, 300),
        ("0::/\n", {"sys/fs/cgroup/memory.max": f"{400 * MIB}\n"}, 400),
        ("4:memory:/box\n0::/\n", {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{500 * MIB}\n"}, 500),
        ("4:memory:/not/seen\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{200 * MIB}\n"}, 200),
    ],
    ids=["version 2, of a parent", "version 2, in a container", "version 1", "version 1, in a container"],
)
def test_the_smallest_limit_of_a_group_counts(tmp_path: Path, lines: str, limits: dict[str, str], wanted: int) -> None:
    """Where a control group, or one around it, gives less than the machine has, that is what there is."""
    assert given(system(tmp_path, lines, limits)) == wanted * MIB


def test_without_a_group_it_is_what_the_machine_has(tmp_path: Path) -> None:
    """No limit, and no control groups at all, leave the memory of the machine."""
    machine = given(tmp_path)
    assert machine is not None
    assert machine > 256 * MIB
    limits = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert given(system(tmp_path, "4:memory:/\n", limits)) == machine


def test_little_memory_lowers_defaults_and_not_what_was_chosen() -> None:
    """In 400 MiB the settings that bound memory are lower, a chosen one stands, and workers take them as they are."""
    lowered = read_settings({}, {}, memory=400 * MIB)
    for name in shares(400 * MIB, 1):
        assert in_bytes(getattr(lowered, name)) < in_bytes(getattr(Settings(), name))
    assert read_settings({}, {}, memory=8 * 2**30) == Settings()
    chosen = read_settings({}, {"FOOTPATH_READ_MEMORY": "256MB"}, memory=400 * MIB)
    assert chosen.read_memory == "256MB"
    assert chosen.keeper_memory == lowered.keeper_memory
    assert read_settings(json.loads(json.dumps(asdict(lowered), default=str)), {}) == lowered


def test_a_command_takes_shares_of_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in 1 GiB takes as much for reads as a server in half of that."""
    monkeypatch.setattr(of_memory, "given", lambda: 2**30)
    command = read_settings({}, {}, memory=of_memory.beside_a_server())
    assert command == read_settings({}, {}, memory=2**29)
    assert in_bytes(command.read_memory) < 110 * 10**6


def test_all_shares_together_leave_room_for_the_interpreters() -> None:
    """From 400 MiB up, for one worker or four, all that may be taken at once leaves 70 MB."""
    for memory in (400 * MIB, 1_000 * MIB, 3_000 * MIB):
        for workers in (1, 4):
            settings = read_settings({"workers": workers}, {}, memory=memory)
            process = (
                settings.waiting_bytes + settings.held_bytes + settings.answer_bytes + in_bytes(settings.read_memory)
            )
            process += 8_000 * settings.connections
            if memory // workers >= 400 * MIB:
                assert workers * process + 2 * in_bytes(settings.keeper_memory) < memory - 70_000_000


@pytest.mark.parametrize(("text", "wanted"), [("256MB", 256e6), ("1.5 GiB", 1.5 * 2**30), ("10kb", 10e3)])
def test_amounts_are_read_as_the_engine_reads_them(text: str, wanted: float) -> None:
    """Units of a thousand and of 1,024 are told apart."""
    assert in_bytes(text) == wanted

"""The oracle of the crash tests sees what it is there for: each kind of untruth, and none where there is none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.oracle import Notes, Verdict, digest

ACTIONS: list[dict[str, Any]] = [
    {"time": "2018-10-20T21:37:28Z", "type": "CLICK", "properties": {"name": f"{number}"}} for number in range(4)
]


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    """Four actions that were offered, of which the first three were acknowledged."""
    made = Notes(tmp_path / "acknowledged")
    digests = [digest("u", "s", action) for action in ACTIONS]
    made.offer(digests)
    made.acknowledge("key", "u", digests[:3])
    yield made
    made.close()


def found(*actions: dict[str, Any]) -> bytes:
    """Actions as they are read back."""
    lines = [{"userId": "u", "sessionId": "s", **action, "seq": seq} for seq, action in enumerate(actions)]
    return b"".join([json.dumps(line).encode() + b"\n" for line in lines])


@pytest.mark.parametrize("number", [3, 4])
def test_the_truth_is_clean(notes: Notes, number: int) -> None:
    """All that was acknowledged, with or without what was only offered, is clean."""
    assert notes.judge(found(*ACTIONS[:number])) == Verdict(3, number, 0, 0, 0)


@pytest.mark.parametrize(
    ("read_back", "verdict"),
    [
        (ACTIONS[1:], Verdict(3, 3, 1, 0, 0)),
        ([], Verdict(3, 0, 3, 0, 0)),
        ([*ACTIONS, ACTIONS[3]], Verdict(3, 5, 0, 0, 1)),
        ([*ACTIONS[:2], {**ACTIONS[2], "type": "VIEW"}], Verdict(3, 3, 1, 1, 0)),
        ([*ACTIONS, {**ACTIONS[3], "properties": {}}], Verdict(3, 5, 0, 1, 0)),
    ],
)
def test_untruth_is_seen(notes: Notes, read_back: list[dict[str, Any]], verdict: Verdict) -> None:
    """What is lost, twice or altered is counted as that."""
    assert notes.judge(found(*read_back)) == verdict
    assert not verdict.clean


def test_a_power_cut_asks_only_for_what_came_before_it(notes: Notes) -> None:
    """Acknowledgements after the first so many are not missed."""
    assert notes.judge(found(*ACTIONS[:2]), 2).clean
    assert notes.judge(found(*ACTIONS[:1]), 2).lost == 1


def test_acknowledgements_are_on_disk(notes: Notes, tmp_path: Path) -> None:
    """Each acknowledgement is a line of its key, user and digest."""
    lines = [json.loads(line) for line in (tmp_path / "acknowledged").read_text(encoding="utf-8").splitlines()]
    assert lines == [["key", "u", one] for one in notes.acknowledged]

"""The keeper is started again whatever happened to it."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from footpath.config import Settings
from footpath.keeper import watch


def test_a_keeper_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the operating system refuses a process, and when one ends at once, another is started, and it is stopped."""
    started: list[str] = []
    up = threading.Event()
    begin: Callable[..., Any] = subprocess.Popen

    def refused_first(_arguments: object, **more: Any) -> Any:
        started.append(("refused", "ends", "runs")[min(len(started), 2)])
        if started[-1] == "refused":
            raise BlockingIOError(11, "Resource temporarily unavailable")
        if started[-1] == "ends":
            return begin([sys.executable, "-c", "raise SystemExit(3)"], **more)
        process = begin([sys.executable, "-c", "import sys; sys.stdin.read()"], **more)
        up.set()
        return process

    monkeypatch.setattr(subprocess, "Popen", refused_first)
    monkeypatch.setattr(watch, "RESTART_SECONDS", (0.01, 0.05))
    with watch.keeper(Settings(data=tmp_path)):
        assert up.wait(20)
    assert started == ["refused", "ends", "runs"]
    assert not [thread for thread in threading.enumerate() if thread.name == "keeper-watch"]

"""The threads that read."""

import os
import sys
import threading

import pytest

from footpath.web.readers import NICENESS, Readers


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux has a priority a thread")
def test_readers_give_way() -> None:
    """A step of a read has a lower priority than the thread that answers, which keeps its own."""

    def mine() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = mine()
    assert Readers(1, 1).start(mine).result(10) == min(19, before + NICENESS)
    assert mine() == before

"""The client against the real process; what starts it is that of the system tests."""

from tests.system.conftest import server, start

__all__ = ["server", "start"]

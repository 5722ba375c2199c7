"""The real process behind the real proxies. Imports nothing of footpath."""

from tests.system.conftest import Server, Start, server, start, wait_until

__all__ = ["Server", "Start", "server", "start", "wait_until"]

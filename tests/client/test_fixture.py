"""The pytest fixture gives a real server, empty at first, in the test's own process."""

import json
import urllib.request

import pytest

from footpath.client import Client
from footpath.testing import FootpathServer


@pytest.mark.parametrize("user", ["first", "second"])
def test_each_test_has_a_server_of_its_own(footpath_server: FootpathServer, user: str) -> None:
    """A test finds what it tracked itself and nothing of another test."""
    with Client(footpath_server.url) as client:
        client.track(user, "s", "click", {"locationX": 1})
        (action,) = footpath_server.actions(at_least=1)
    assert (action["userId"], action["type"], action["properties"]) == (user, "CLICK", {"locationX": 1})
    assert footpath_server.actions(userId="somebody else") == []


def test_it_is_the_whole_http_face(footpath_server: FootpathServer) -> None:
    """What a browser or another client would ask is answered, too."""
    with urllib.request.urlopen(f"{footpath_server.url}/readyz") as answer:
        assert json.load(answer) == {"status": "ready"}


def test_waiting_in_vain_says_how_many_came(footpath_server: FootpathServer) -> None:
    """When fewer actions come than a test waits for, it fails with both numbers."""
    with pytest.raises(AssertionError, match="0 actions came in 0 s, not 2"):
        footpath_server.actions(at_least=2, timeout=0.05)

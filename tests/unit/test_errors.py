"""The tree of errors is the one that its docstring draws, and every error that a request meets has a status."""

import re

import pytest

from footpath import errors
from footpath.errors import FootpathError, OperatorError, RequestError, Unavailable
from footpath.web import responses


def below(kind: type[FootpathError]) -> list[type[FootpathError]]:
    """A class and all of the tree that derive from it; a room may have a kind of its own beside, as aws/engine has."""
    return [kind] + [deeper for inner in own(kind) for deeper in below(inner)]


def own(kind: type[FootpathError]) -> list[type[FootpathError]]:
    """The classes of the tree that derive from one directly."""
    return [inner for inner in kind.__subclasses__() if inner.__module__ == errors.__name__]


LEAVES = [kind for kind in below(FootpathError) if not own(kind)]


def test_the_docstring_draws_the_tree() -> None:
    """Each class stands in the drawing once, with its code if it is a leaf, under the class that it derives from."""
    drawn: dict[str, tuple[str | None, str]] = {}
    parents: list[str] = []
    for branch, name, rest in re.findall(r"^    ([│├└─ ]*)(\w+) *(.*)$", errors.__doc__ or "", re.MULTILINE):
        depth = len(branch) // 4
        parents[depth:] = [name]
        drawn[name] = (parents[depth - 1] if depth else None, rest.strip())
    for kind in below(FootpathError):
        parent, text = drawn.pop(kind.__name__)
        assert parent == (None if kind is FootpathError else kind.__mro__[1].__name__)
        assert text == kind.code if kind in LEAVES else text != kind.code
    assert drawn == {}


def test_codes_are_the_names() -> None:
    """A leaf's code is its name in snake case, and no two leaves share one."""
    for kind in LEAVES:
        assert kind.code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    assert len({kind.code for kind in LEAVES}) == len(LEAVES)


def test_only_what_is_unavailable_may_be_retried() -> None:
    """Retry is true for Unavailable and what is below it, and for nothing else."""
    for kind in below(FootpathError):
        assert kind.retry is issubclass(kind, Unavailable)


def test_every_error_of_a_request_has_a_status() -> None:
    """The status table holds every leaf of RequestError (4xx) and of Unavailable (503 or 429)."""
    wanted = {kind for kind in LEAVES if issubclass(kind, (RequestError, Unavailable))}
    assert set(responses.STATUS) == wanted
    for kind, status in responses.STATUS.items():
        assert status in {503, 429} if issubclass(kind, Unavailable) else 400 <= status < 500


@pytest.mark.parametrize("kind", [kind for kind in LEAVES if not issubclass(kind, OperatorError)])
def test_an_answer_says_code_message_and_when(kind: type[FootpathError]) -> None:
    """An error's answer has its code and sentence, and Retry-After exactly when it may be sent again."""
    status, headers, body = responses.describe(kind("a sentence"))
    assert status == responses.STATUS[kind]
    assert body == b'{"code":"%s","message":"a sentence"}' % kind.code.encode()
    assert (b"retry-after" in dict(headers)) is kind.retry

"""What must not stand in a log is taken out of text: keys of footpath, and what names itself a credential.

A key is known by its form (`fp_write_…`) wherever it stands. Other secrets are known by what stands before them: the
headers Authorization and X-API-Key in any notation, and `key=` in an address. Of a secret nothing is left, not even
its length; of a key its role is, since a line about a key is of no use without.

Leaves out what users did: ids and properties are no credentials, and whoever logs them has to know.
"""

import re
from collections.abc import Mapping

GONE = "[redacted]"

_KEY = re.compile(r"fp_(write|read|admin)_\w+")
_HEADER = re.compile(
    r"""((?:proxy-)?authorization|x[-_]api[-_]key|api[-_]key|cookie)   # the name
        (["']?\s*[:=]\s*(?:b?["'])?|["']\s*,\s*b?["'])                     # in a header, a dict, a pair of bytes
        [^\s"'][^"'\r\n]*""",
    re.IGNORECASE | re.VERBOSE,
)
_SCHEME = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;](?:key|api_key|token)=)[^&;\s\"'#]+", re.IGNORECASE)
_NAMES = re.compile(r"(proxy[-_])?authorization|x[-_]api[-_]key|api[-_]key|cookie|password|secret|token", re.IGNORECASE)


def text(value: str) -> str:
    """The text without credentials."""
    value = _KEY.sub(lambda found: f"fp_{found[1]}_{GONE}", value)
    value = _PARAMETER.sub(rf"\1{GONE}", value)
    value = _HEADER.sub(rf"\1\2{GONE}", value)
    return _SCHEME.sub(rf"\1 {GONE}", value)


def fields(of: Mapping[str, object]) -> dict[str, object]:
    """A mapping without credentials in its names and values."""
    return {text(str(name)): GONE if _NAMES.fullmatch(str(name)) else value(inner) for name, inner in of.items()}


def value(of: object) -> object:
    """Any value without credentials, as plain data: what is not text, number, mapping or sequence becomes its repr."""
    if of is None or isinstance(of, (bool, int, float)):
        return of
    if isinstance(of, str):
        return text(of)
    if isinstance(of, Mapping):
        return fields(of)
    if isinstance(of, (list, tuple, set, frozenset)):
        if len(of) == 2 and isinstance(of, tuple) and _NAMES.fullmatch(_name(of[0])):
            return [_name(of[0]), GONE]
        return [value(inner) for inner in of]
    return text(repr(of))


def _name(of: object) -> str:
    """What stands first in a pair, as the name that it may be: headers are pairs of bytes."""
    return of.decode("latin-1") if isinstance(of, bytes) else str(of)

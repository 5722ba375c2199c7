"""What an action did, in words, for people: the one piece for pages, the live tail and commands. Pure."""

from typing import Any, NamedTuple

from msgspec.json import encode

Properties = dict[str, Any]


class Said(NamedTuple):
    """An action in a few words, and the properties that these leave out."""

    words: str
    left: Properties


def said(kind: str, properties: Properties) -> Said:
    """What somebody did: of a type, with its properties as JSON gives them."""
    left = dict(properties)
    if kind == "NAVIGATE":
        ways = [text(left.pop(name)) if name in left else "?" for name in ("pageFrom", "pageTo")]
        return Said(f"went {ways[0]} → {ways[1]}", left)
    page = left.pop("page", None)
    on = "" if page is None else f" on {text(page)}"
    if kind == "VIEW":
        name = next((name for name in ("viewedId", "title") if left.get(name)), None)
        if name is None:
            return Said(f"viewed{on or ' something'}", left)
        viewed = left.pop(name)
        return Said(f"viewed {text(viewed)}{on if viewed != page else ''}", left)
    name = next((name for name in ("text", "element") if left.get(name)), None)
    what = f" “{text(left.pop(name))}”" if name else ""
    at = ""
    if left.get("locationX") is not None and left.get("locationY") is not None:
        at = f" at {text(left.pop('locationX'))}, {text(left.pop('locationY'))}"
    return Said(f"clicked{what}{at}{on}", left)


def text(value: object) -> str:
    """A value as it reads: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else encode(value).decode()

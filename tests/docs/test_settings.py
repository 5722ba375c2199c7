"""docs/SETTINGS.md lists the settings as they are."""

from dataclasses import fields
from pathlib import Path

from footpath.config import SETTINGS, Settings

PAGE = Path(__file__).parents[2] / "docs" / "SETTINGS.md"


def table() -> str:
    """The table as it must stand in the page."""
    rows = [
        f"| `{item.name}` | `FOOTPATH_{item.name.upper()}` | `{item.default}` | {SETTINGS[item.name]} |"
        for item in fields(Settings)
    ]
    return "\n".join(["| setting | environment | default | what it is, and why so |", "|---|---|---|---|", *rows])


def test_the_page_lists_every_setting() -> None:
    """docs/SETTINGS.md holds each setting with its variable, default and doc line, and no other."""
    assert table() in PAGE.read_text(encoding="utf-8"), f"put this table into docs/SETTINGS.md:\n{table()}"

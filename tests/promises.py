"""Writes what `make torture` has reached into docs/PROMISES.md: `python -m tests.promises`.

Each link there to `promises/<name>.json` has that file's numbers as its text.
"""

import json
import re

from tests.proof import ROOT

PAGE = ROOT / "docs" / "PROMISES.md"
NUMBERS = ROOT / "docs" / "promises"
LINK = re.compile(r"\[[^\]]*\]\(promises/([\w-]+)\.json\)")
_ASIDE = {"test", "date", "code", "machine", "seconds", "seed"}


def sentence(name: str) -> str:
    """The numbers of a file, with the date and the commit of the code that they were reached on."""
    file = NUMBERS / f"{name}.json"
    if not file.exists():
        return "not run yet"
    reached = json.loads(file.read_text(encoding="utf-8"))
    said = [
        f"{value:,} {what.replace('_', ' ')}"
        for what, value in reached.items()
        if what not in _ASIDE and isinstance(value, int | float)
    ]
    return f"{', '.join(said)} ({reached['date']}, {reached['code']})"


def rendered(text: str) -> str:
    """The page with today's numbers."""
    return LINK.sub(lambda link: f"[{sentence(link[1])}](promises/{link[1]}.json)", text)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

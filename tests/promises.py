"""Writes what `make torture` has reached into docs/PROMISES.md: `python -m tests.promises [FOLDER...]`.

Each link there to `promises/<name>.json` has that file's numbers as its text. A file holds one run, or the sum of
several and each of them under `each_run`: those in the folders given (`make torture-cuts CUTS=50 PUBLISH=/tmp/more`,
then `make promises MORE=/tmp/more`) are added to those that are there.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.proof import ROOT

PAGE = ROOT / "docs" / "PROMISES.md"
NUMBERS = ROOT / "docs" / "promises"
LINK = re.compile(r"\[[^\]]*\]\(promises/([\w-]+)\.json\)")
_ASIDE = {"test", "date", "code", "machine", "seconds", "seed"}
_HOW = {"stride", "every", "threads"}  # how it was tried: alike in runs that are added up

Json = dict[str, Any]


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
    runs = f"{len(reached['each_run'])} runs, " if "each_run" in reached else ""
    return f"{', '.join(said)} ({runs}{reached['date']}, {reached['code']})"


def rendered(text: str) -> str:
    """The page with today's numbers."""
    return LINK.sub(lambda link: f"[{sentence(link[1])}](promises/{link[1]}.json)", text)


def together(runs: Sequence[Json]) -> Json:
    """What several runs of one test reached: their counts added up, and the runs themselves; of one run, the run.

    Raises:
        ValueError: they do not count the same things, or something that is no count, like a time.
    """
    first, *others = runs
    if not others:
        return first
    dates = [run["date"] for run in runs]
    added: Json = {
        **first,
        "date": min(dates) if min(dates) == max(dates) else f"{min(dates)} to {max(dates)}",
        "code": ", ".join(dict.fromkeys(run["code"] for run in runs)),
        "machine": "; ".join(dict.fromkeys(run["machine"] for run in runs)),
        "seconds": sum(run["seconds"] for run in runs),
        "seed": [run["seed"] for run in runs],
    }
    for run in others:
        if run.keys() != first.keys() or any(run[what] != first[what] for what in {"test", *_HOW} & run.keys()):
            raise ValueError(f"{run['test']}: these runs did not try the same: {first}, {run}")
        for what in run.keys() - _ASIDE - _HOW:
            if isinstance(run[what], dict):
                added[what] = dict(Counter(added[what]) + Counter(run[what]))
            elif type(run[what]) is int:
                added[what] += run[what]
            else:
                raise ValueError(f"{run['test']}: {what} is no count: run it once, with all it is to try")
    return {**added, "each_run": list(runs)}


def runs_of(file: Path) -> list[Json]:
    """The runs that a file of numbers holds; none if there is no such file."""
    if not file.exists():
        return []
    reached: Json = json.loads(file.read_text(encoding="utf-8"))
    found: list[Json] = reached.get("each_run", [reached])
    return found


def add(folder: Path) -> None:
    """Add the runs of a folder to those that the page cites, but none that is there."""
    for file in sorted(folder.glob("*.json")):
        runs = runs_of(NUMBERS / file.name)
        runs += [run for run in runs_of(file) if run not in runs]
        (NUMBERS / file.name).write_text(json.dumps(together(runs), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for more in sys.argv[1:]:
        add(Path(more))
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

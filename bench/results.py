"""Where results are kept: one JSON and one picture a run under bench/results/, named for the benchmark and the time."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).with_name("results")

mpl.use("Agg")  # no display is needed, or looked for


def save(name: str, result: dict[str, object], figure: "Figure | None" = None) -> list[Path]:
    """Write the JSON and the plot; the paths written."""
    RESULTS.mkdir(exist_ok=True)
    base = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    paths = [base.with_suffix(".json")]
    paths[0].write_text(json.dumps(result, indent=2) + "\n")
    if figure is not None:
        paths.append(base.with_suffix(".png"))
        figure.savefig(paths[1], dpi=150, bbox_inches="tight")
    return paths


def percentile(rising: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values that are sorted already."""
    if not rising:
        raise ValueError("no values")
    rank = -(-len(rising) * percent // 100)
    return rising[max(0, int(rank) - 1)]

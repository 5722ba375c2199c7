"""What the ingest benchmark shows: medians over the rounds, their spread, and how much faster footpath is than each."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from rich.table import Table

from bench.wrk import Totals

MEASURED_AGAINST = "footpath"
COLUMNS = (
    "contender",
    "a request",
    "actions/s",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "server",
    "others",
    "wrk",
    "footpath is",
)


@dataclass(frozen=True)
class Cell:
    """One contender, one size of request, one round."""

    key: str
    name: str
    actions: int
    round: int
    actions_per_second: float
    server_cores: float
    http_cores: float  # of it, the process that speaks HTTP
    others: float  # cores that something else took of the server's core, kernel work for the network included
    acked: int
    stored: int | None
    wrk: Totals


def summary(cells: Sequence[Cell]) -> list[dict[str, object]]:
    """A row a contender and size; `ratio` is footpath's median over this one's."""
    rows: list[dict[str, object]] = []
    for (key, size), group in grouped(cells).items():
        rates = [cell.actions_per_second for cell in group]
        median = statistics.median(rates)
        ours = grouped(cells).get((MEASURED_AGAINST, size))
        rows.append({
            "contender": group[0].name,
            "actions_a_request": size,
            "rounds": len(rates),
            "actions_per_second": round(median),
            "lowest": round(min(rates)),
            "highest": round(max(rates)),
            "requests_per_second": round(median / size),
            "p50_ms": statistics.median(cell.wrk.p50_ms for cell in group),
            "p99_ms": statistics.median(cell.wrk.p99_ms for cell in group),
            "server_cores": round(statistics.median(cell.server_cores for cell in group), 2),
            "others": round(max(cell.others for cell in group), 2),
            "wrk_cores": round(statistics.median(cell.wrk.cpu for cell in group), 2),
            "ratio": None if ours is None or key == MEASURED_AGAINST else round(middle(ours) / median, 2),
        })  # fmt: skip
    return rows


def table(cells: Sequence[Cell]) -> Table:
    """The summary for a terminal."""
    shown = Table(title="durable actions a second on one core: median of the rounds (lowest to highest)")
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column == "contender" else "right")
    for size, rows in itertools.groupby(summary(cells), key=lambda row: row["actions_a_request"]):
        for row in rows:
            shown.add_row(
                str(row["contender"]),
                str(size),
                f"{row['actions_per_second']:,} ({row['lowest']:,} to {row['highest']:,})",
                f"{row['requests_per_second']:,}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['server_cores']:.2f}",
                f"{row['others']:.2f}",
                f"{row['wrk_cores']:.2f}",
                "" if row["ratio"] is None else f"{row['ratio']:.2f} x",
            )
        shown.add_section()
    return shown


def figure(cells: Sequence[Cell]) -> Figure:
    """Bars of medians with a point a round, one panel a size."""
    sizes = sorted({cell.actions for cell in cells})
    drawn = Figure(figsize=(4.5 * len(sizes), 4.2), layout="constrained")
    panels = drawn.subplots(1, len(sizes), squeeze=False)[0]
    for panel, size in zip(panels, sizes, strict=True):
        groups = [group for (_, of), group in grouped(cells).items() if of == size]
        names = [group[0].name for group in groups]
        medians = [middle(group) for group in groups]
        bars = panel.barh(names, medians, color=["#1b6f5c" if "footpath" in name else "#b9b4a5" for name in names])
        panel.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=6, fontsize=9)
        for row, group in enumerate(groups):
            rates = [cell.actions_per_second for cell in group]
            panel.plot(rates, [row] * len(rates), ".", color="black", markersize=4)
        panel.set_xlim(0, max(medians) * 1.3)
        panel.invert_yaxis()
        panel.set_title(f"{size} action{'s' * (size > 1)} a request", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.tick_params(axis="x", labelsize=7)
        if panel is not panels[0]:
            panel.set_yticklabels([])
    drawn.suptitle("durable actions a second, server on one core (parse only stores nothing)", fontsize=11)
    return drawn


def grouped(cells: Sequence[Cell]) -> dict[tuple[str, int], list[Cell]]:
    """Cells of the same contender and size; sizes rising, contenders in the order in which they ran."""
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.actions):
        groups.setdefault((cell.key, cell.actions), []).append(cell)
    return groups


def middle(group: Sequence[Cell]) -> float:
    """The median rate of a group."""
    return statistics.median(cell.actions_per_second for cell in group)

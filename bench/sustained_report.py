"""What the sustained run shows: percentiles of the ack latency, memory and backlog, over all and second by second."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from bench.results import percentile

MIB = 2**20


def summary(
    seen: dict[str, Any], order: dict[str, Any], *, stored: int, samples: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The numbers of the whole run; `failures` names what must not have happened."""
    acked = sorted(latency for latency in seen["latency"] if latency >= 0)
    late = sorted(seen["late"])
    sent, actions = len(seen["latency"]), order["actions"]
    looks = [sample["sizes"] for sample in samples if sample["sizes"] is not None]
    resident = [sample["rss"] for sample in samples]
    told: dict[str, Any] = {
        "requests": sent,
        "acked": len(acked),
        "acked_actions": len(acked) * actions,
        "stored_actions": stored,
        "statuses": seen["statuses"],
        "lost_connections": seen["lost"],
        "waiting_for_a_connection_at_most": seen["waiting_at_most"],
        "ack_ms": percentiles(acked, 50, 99, 99.9, 100),
        "generator_late_ms": percentiles(late, 50, 99, 100),
        "generator_cores": round(seen["cpu"], 2),
        "server_cores": round(mean([used for _, used in cores(samples)]), 2),
        "rss_mib": {"first": resident[0] // MIB, "last": resident[-1] // MIB, "most": max(resident) // MIB},
        "backlog_actions_at_most": max(look["backlog"] for look in looks),
        "parts_at_most": max(look["parts"] for look in looks),
        "wal_mib_at_most": max(look["wal_bytes"] for look in looks) // MIB,
    }
    told["failures"] = failures(told, sent * actions)
    return told


def percentiles(rising: Sequence[float], *percents: float) -> dict[str, float]:
    """Named as people write them; p100 is the maximum. Empty when there are no values."""
    return {f"p{percent:g}": round(percentile(rising, percent), 3) for percent in percents if rising}


def failures(told: dict[str, Any], sent_actions: int) -> list[str]:
    """Sentences on what was lost or refused; none in a good run."""
    found = []
    if told["acked"] < told["requests"]:
        found.append(f"{told['requests'] - told['acked']:,} requests were not answered 200: {told['statuses']}")
    if told["lost_connections"]:
        found.append(f"{told['lost_connections']} connections were closed by the server")
    if not told["acked_actions"] <= told["stored_actions"] <= sent_actions:
        found.append(f"stored {told['stored_actions']:,} actions, acked {told['acked_actions']:,} of {sent_actions:,}")
    return found


def by_second(seen: dict[str, Any], order: dict[str, Any]) -> list[dict[str, float | int | None]]:
    """p50, p99 and maximum of the requests that were due in each second."""
    rows: list[dict[str, float | int | None]] = []
    for second in range(order["seconds"]):
        due = seen["latency"][int(second * order["rate"]) : int((second + 1) * order["rate"])]
        acked = sorted(latency for latency in due if latency >= 0)
        p50, p99, most = (percentile(acked, percent) if acked else None for percent in (50, 99, 100))
        rows.append({"second": second, "acked": len(acked), "p50": p50, "p99": p99, "max": most})
    return rows


def cores(samples: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """(second, cores used since the sample before)."""
    return [
        (b["second"], (b["cpu_seconds"] - a["cpu_seconds"]) / (b["second"] - a["second"])) for a, b in pairwise(samples)
    ]


def mean(values: Sequence[float]) -> float:
    """Of what there is; 0 for nothing."""
    return sum(values) / max(1, len(values))


def table(told: dict[str, Any]) -> Table:
    """The summary for a terminal."""
    shown = Table(title="sustained load", show_header=False)
    for name, value in told.items():
        text = ", ".join(f"{key} {part:,}" for key, part in value.items()) if isinstance(value, dict) else value
        shown.add_row(name.replace("_", " "), f"{text:,}" if isinstance(text, int) else str(text))
    return shown


def figure(result: dict[str, Any]) -> Figure:
    """Three panels over time: ack latency, memory, backlog."""
    drawn = Figure(figsize=(9, 8), layout="constrained")
    latency, memory, backlog = drawn.subplots(3, 1, sharex=True)
    rows = [row for row in result["seconds"] if row["p50"] is not None]
    for name, colour in (("p50", "#1b6f5c"), ("p99", "#c98a1b"), ("max", "#a8a29a")):
        values = [row[name] for row in rows]
        latency.plot([row["second"] for row in rows], values, color=colour, label=name, linewidth=1)
    latency.set_yscale("log")
    latency.set_ylabel("ack latency, ms\nfrom when it was due")
    latency.legend(frameon=False, ncols=3)
    samples = result["samples"]
    memory.plot([one["second"] for one in samples], [one["rss"] / MIB for one in samples], color="#1b6f5c")
    memory.set_ylim(bottom=0)
    memory.set_ylabel("resident memory, MiB\nall processes")
    looks = [(one["second"], one["sizes"]) for one in samples if one["sizes"] is not None]
    backlog.plot([second for second, _ in looks], [look["backlog"] / 1e6 for _, look in looks], color="#1b6f5c")
    backlog.set_ylim(bottom=0)
    backlog.set_ylabel("actions in the journal\nand in no part, millions")
    backlog.set_xlabel("seconds")
    rate = result["settings"]["actions_per_second"]
    drawn.suptitle(f"{rate:,} actions a second, constant rate; server on one core", fontsize=11)
    for panel in (latency, memory, backlog):
        panel.spines[["top", "right"]].set_visible(False)
    return drawn

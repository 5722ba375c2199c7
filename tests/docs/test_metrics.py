"""docs/METRICS.md lists the metrics as they are, and every alert of deploy/ asks for metrics that there are."""

import re
from pathlib import Path

from footpath.aws.meters import METERS
from footpath.web.metrics import METRICS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "METRICS.md"
ALERTS = ROOT / "deploy" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def table() -> str:
    """The table as it must stand in the page."""
    rows = [
        f"| `{name}{'_total' if kind == 'counter' else ''}` | {kind} | {', '.join(labels)} | {told} |"
        for name, (kind, labels, told) in METRICS.items()
    ]
    return "\n".join(["| metric | kind | labels | what it is |", "|---|---|---|---|", *rows])


def sink_table() -> str:
    """The table of a sink's metrics as it must stand in the page."""
    rows = [
        f"| `{name}{'_total' if kind == 'counter' else ''}` | {kind} | {told} |"
        for name, (kind, told) in METERS.items()
    ]
    return "\n".join(["| metric | kind | what it is |", "|---|---|---|", *rows])


def test_the_page_lists_every_metric() -> None:
    """docs/METRICS.md holds each metric with its kind, labels and sentence, and no other."""
    for there in (table(), sink_table()):
        assert there in PAGE.read_text(encoding="utf-8"), f"put this table into docs/METRICS.md:\n{there}"


def test_alerts_ask_for_metrics_that_there_are() -> None:
    """Each metric of footpath's in an alert exists, and each alert is explained in docs/OPERATE.md."""
    text = ALERTS.read_text(encoding="utf-8")
    there = {name + suffix for name, (kind, *_) in METRICS.items() for suffix in SUFFIXES[kind]}
    there |= {name + suffix for name, (kind, _) in METERS.items() for suffix in SUFFIXES[kind]}
    asked = {name for line in re.findall(r"expr: (.*)", text) for name in re.findall(r"footpath_\w+", line)}
    assert asked
    assert asked <= there
    alerts = re.findall(r"alert: (\w+)", text)
    assert len(alerts) == len(re.findall(r"expr: ", text)) >= 8
    told = (ROOT / "docs" / "OPERATE.md").read_text(encoding="utf-8")
    for alert in alerts:
        assert f"`{alert}`" in told, alert

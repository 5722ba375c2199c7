"""What is drawn, as Vega-Lite: each chart beside a table of the same numbers. Pure."""

from typing import Any

from footpath.overview.told import Clicks, Counts, Flows

Spec = dict[str, Any]
COLOURS = {"CLICK": "#3a7fc1", "VIEW": "#1c8a5b", "NAVIGATE": "#b7791f"}
"""Of a type everywhere: told apart also by those who see red and green alike, and on a dark page."""

_BASE: Spec = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "width": "container",
    "autosize": {"type": "fit", "contains": "padding"},
    "background": "transparent",
}


def histogram(counts: Counts, time_from: str | None = None, time_to: str | None = None) -> Spec:
    """Actions over time by type; a range can be brushed."""
    values = [
        {"time": count.time, "type": kind, "actions": getattr(count, kind)}
        for count in counts.counts
        for kind in COLOURS
        if getattr(count, kind)
    ]
    unit = {"PT1M": "utcyearmonthdatehoursminutes", "PT15M": "utcyearmonthdatehoursminutes"}.get(
        counts.bucket, "utcyearmonthdatehours" if counts.bucket == "PT1H" else "utcyearmonthdate"
    )
    step = {"unit": unit, "step": 15} if counts.bucket == "PT15M" else unit
    scale = {"domain": [time_from, time_to], "type": "utc"} if time_from and time_to else {"type": "utc"}
    return _BASE | {
        "height": 160,
        "description": "Actions over time, by type",
        "data": {"values": values},
        "params": [{"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}],
        "mark": {"type": "bar", "tooltip": True, "binSpacing": 0},  # a gap would hide bars of a pixel
        "encoding": {
            "x": {"field": "time", "type": "temporal", "timeUnit": step, "scale": scale, "title": "time (UTC)"},
            "y": {"field": "actions", "type": "quantitative", "aggregate": "sum", "title": "actions"},
            "color": {
                "field": "type",
                "type": "nominal",
                "scale": {"domain": list(COLOURS), "range": list(COLOURS.values())},
                "legend": {"orient": "top", "title": None},
            },
        },
    }


def heat(clicks: Clicks) -> Spec:
    """Clicks over a page: left to right and top to bottom in parts of the page."""
    values = [
        {
            "x": cell.x / clicks.columns, "x2": (cell.x + 1) / clicks.columns,
            "y": cell.y / clicks.rows, "y2": (cell.y + 1) / clicks.rows,
            "clicks": cell.count,
        }
        for cell in clicks.cells
    ]  # fmt: skip
    axis = {"format": "%"}
    return _BASE | {
        "height": 520,
        "description": f"Where people clicked on {clicks.page}",
        "data": {"values": values},
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {
                "field": "x", "type": "quantitative", "title": "from the left", "axis": axis,
                "scale": {"domain": [0, 1]},
            },
            "x2": {"field": "x2"},
            "y": {
                "field": "y", "type": "quantitative", "title": "from the top", "axis": axis,
                "scale": {"domain": [0, 1], "reverse": True},
            },
            "y2": {"field": "y2"},
            "color": {
                "field": "clicks", "type": "quantitative", "scale": {"scheme": "yelloworangered"},
                "legend": {"orient": "bottom"},
            },
        },
    }  # fmt: skip


def flows(found: Flows, most: int = 40) -> Spec:
    """The most frequent ways from page to page, as a matrix."""
    values = [{"from": flow.from_page, "to": flow.to_page, "count": flow.count} for flow in found.flows[:most]]
    return _BASE | {
        "height": {"step": 22},
        "autosize": {"type": "pad"},
        "width": {"step": 34},
        "description": "From which page to which people went",
        "data": {"values": values},
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "x": {"field": "to", "type": "nominal", "title": "to", "axis": {"labelAngle": -40, "orient": "top"}},
            "y": {"field": "from", "type": "nominal", "title": "from"},
            "color": {
                "field": "count",
                "type": "quantitative",
                "scale": {"scheme": "greens"},
                "legend": {"orient": "bottom"},
            },
        },
    }

"""What the OpenAPI document says of the overviews: sessions, counts, clicks and flows."""

from footpath import errors
from footpath.overview import asked
from footpath.web import examples, schemas
from footpath.web.schemas import Json, failures, not_allowed, parameter, ref

OVERVIEW_ERRORS = (errors.BadQuery, errors.Unauthorized, errors.Forbidden, errors.Busy, errors.ReadFailed)

_PARAMETERS = {
    **{name: schemas.PARAMETERS[name] for name in ("sessionId", "logType", "fromTime", "toTime")},
    **{
        item["name"]: item
        for item in (
            schemas.PARAMETERS["userId"],
            schemas.PARAMETERS["cursor"]
            | {"example": "WzE1NDAwOTMwNTAwMDAwMDAsIlhZWjQ1NkFCQyIsMywiNjM0OWU2ZGQwMjM5Il0"},
            parameter(
                "limit",
                "At most this many.",
                {"type": "integer", "minimum": 1, "maximum": asked.MAX_LIMIT, "default": asked.DEFAULT_LIMIT},
                20,
            ),
            parameter(
                "order",
                "By when a session ended: the newest or the oldest first.",
                {"enum": ["asc", "desc"], "default": "desc"},
                "desc",
            ),
            parameter(
                "bucket",
                "How long a bucket is. `auto` is the smallest of which the time range holds at most"
                f" {asked.AUTO_BUCKETS}; without a range, a day.",
                {"enum": [*asked.WIDTHS, "auto"], "default": "auto"},
                "hour",
            ),
            parameter(
                "page",
                "Which page; exactly this text, as the property `page` of its clicks.",
                {"type": "string", "minLength": 1, "maxLength": asked.MAX_PAGE_LENGTH},
                "inventory",
            ),
            *(
                parameter(
                    name,
                    f"How many {name} the grid over the page has.",
                    {"type": "integer", "enum": list(asked.DIVISORS), "default": asked.GRID},
                    50,
                )
                for name in ("columns", "rows")
            ),
        )
    },
}
"""The parameters of all overviews, by name."""
_ROUTES: tuple[tuple[str, str, str, tuple[str, ...], str, str], ...] = (
    (
        "/api/sessions",
        "listSessions",
        "Sessions",
        asked.SESSIONS,
        "Look at the sessions of a user.",
        (
            "A page of them; `Link` leads to the next. With a time range, only actions in it make a session and"
            " count. Pages neither skip nor repeat while writes go on."
        ),
    ),
    (
        "/api/counts",
        "countActions",
        "Counts",
        asked.COUNTS,
        "Count actions over time.",
        (
            "By type, in buckets of UTC that begin at whole minutes, quarters of an hour, hours or days. Any"
            f" combination of the filters, or none for everything. Over {asked.MAX_BUCKETS:,} buckets it is 400."
        ),
    ),
    (
        "/api/clicks",
        "mapClicks",
        "Clicks",
        asked.CLICKS,
        "See where on a page people clicked.",
        (
            "A grid over the whole page, whatever size it had: a click's place is `locationX` of `pageWidth` and"
            " `locationY` of `pageHeight`, properties of the click like its `page`. Clicks that lack one of them,"
            " or lie beyond the page, are counted in `unplaced`."
        ),
    ),
    (
        "/api/flows",
        "listFlows",
        "Flows",
        asked.FLOWS,
        "See from which page to which people go.",
        (
            "Navigations by their `pageFrom` and `pageTo`, the most frequent first. The others are one number, so"
            " that all together are the navigations of the time range."
        ),
    ),
)
"""Path, operation, schema of the answer, parameters, summary and description."""


def routes() -> Json:
    """The routes that sum actions up, by path."""
    required = {"/api/sessions": ("userId",), "/api/clicks": ("page", "fromTime", "toTime")}
    required["/api/flows"] = ("fromTime", "toTime")
    return {
        path: {
            "operationId": operation,
            "summary": summary,
            "description": description,
            "parameters": [
                _PARAMETERS[name] | ({"required": True} if name in required.get(path, ()) else {}) for name in names
            ],
            "responses": {
                "200": {
                    "description": "The sums, of one moment.",
                    "content": {"application/json": {"schema": ref(schema), "example": examples.OVERVIEWS[schema]}},
                    **({"headers": {"Link": ref("Link", "headers")}} if "cursor" in names else {}),
                },
                **failures(OVERVIEW_ERRORS),
                **not_allowed("GET, HEAD"),
            },
            "x-codeSamples": [
                {"lang": "curl", "label": label, "source": source} for label, source in examples.OVERVIEW_CURL[schema]
            ],
        }
        for path, operation, schema, names, summary, description in _ROUTES
    }

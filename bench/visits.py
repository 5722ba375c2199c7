"""Sessions as the browser's tracker sends them: every action names its page, and clicks where on it they were.

Pages are those of a shop: a few that everybody sees, and hundreds of items of which some are favourites. `stream` takes
these instead of `bodies`, which name no page with a click, when overviews are to be measured.
"""

import random
from collections.abc import Iterator

PAGES = ("/", "/communities", "/inventory", "/search", "/cart", "/checkout", "/account", "/help")
ITEMS = 400
SCREENS = ((1280, 800), (1536, 864), (390, 844), (1920, 1080))
ELEMENTS = tuple(f"main > section:nth-of-type({place}) > button" for place in range(1, 41))


def actions(rng: random.Random) -> Iterator[tuple[str, dict[str, object]]]:
    """Type and properties of one session's actions, without end: half clicks, a third views, the rest navigations."""
    width, height = rng.choice(SCREENS)
    page = some_page(rng)
    while True:
        draw = rng.random()
        if draw < 0.5:
            long = 900 + 37 * (len(page) * 7 % 60)
            yield (
                "CLICK",
                {
                    "locationX": int(rng.random() * width),
                    "locationY": int(rng.random() ** 2 * long),
                    "page": page,
                    "viewportWidth": width,
                    "viewportHeight": height,
                    "pageWidth": width,
                    "pageHeight": long,
                    "element": rng.choice(ELEMENTS),
                },
            )
        elif draw < 0.83:
            yield "VIEW", {"viewedId": f"{rng.getrandbits(48):012X}", "page": page}
        else:
            left, page = page, some_page(rng)
            yield "NAVIGATE", {"pageFrom": left, "pageTo": page}


def some_page(rng: random.Random) -> str:
    """A page: one of the few, or an item."""
    return rng.choice(PAGES) if rng.random() < 0.6 else f"/items/{int(ITEMS ** rng.random())}"

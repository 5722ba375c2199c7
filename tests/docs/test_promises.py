"""docs/PROMISES.md says what was reached, and nothing else."""

from tests.promises import LINK, NUMBERS, PAGE, rendered


def test_the_numbers_are_those_that_were_reached() -> None:
    """Each number in the page is that of the file beside it; `make promises` brings them up to date."""
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text


def test_every_number_that_was_reached_is_told() -> None:
    """Each file of numbers is cited."""
    cited = set(LINK.findall(PAGE.read_text(encoding="utf-8")))
    assert {file.stem for file in NUMBERS.glob("*.json")} <= cited

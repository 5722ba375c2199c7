"""docs/PROMISES.md says what was reached, and nothing else."""

import json

import pytest

from tests.promises import LINK, NUMBERS, PAGE, rendered, runs_of, together


def test_the_numbers_are_those_that_were_reached() -> None:
    """Each number in the page is that of the file beside it; `make promises` brings them up to date."""
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text


def test_every_number_that_was_reached_is_told() -> None:
    """Each file of numbers is cited."""
    cited = set(LINK.findall(PAGE.read_text(encoding="utf-8")))
    assert {file.stem for file in NUMBERS.glob("*.json")} <= cited


def test_several_runs_are_the_sum_of_each() -> None:
    """The numbers of a file with several runs are those of its runs, added up."""
    for file in NUMBERS.glob("*.json"):
        assert json.loads(file.read_text(encoding="utf-8")) == together(runs_of(file)), file.name


RUN = {"test": "t", "date": "2026-01-02", "code": "a", "machine": "m", "seconds": 3, "seed": 1, "stride": 2, "lost": 4}


def test_counts_are_added_and_how_it_was_tried_is_not() -> None:
    """Two runs have the sum of their counts and seconds, both dates, commits and seeds, and the stride of each."""
    other = {**RUN, "date": "2026-01-03", "code": "b", "seed": 2, "lost": 5}
    assert together([RUN, other]) == {
        **RUN,
        "date": "2026-01-02 to 2026-01-03",
        "code": "a, b",
        "seconds": 6,
        "seed": [1, 2],
        "lost": 9,
        "each_run": [RUN, other],
    }
    assert together([RUN]) == RUN


@pytest.mark.parametrize("other", [{"stride": 3}, {"test": "u"}, {"lost": 0.5}, {"found": 1}])
def test_runs_that_are_not_alike_are_not_added(other: dict[str, object]) -> None:
    """Runs of another test, tried in another way, of other counts or of what is no count, are refused."""
    with pytest.raises(ValueError, match=r"did not try the same|is no count"):
        together([RUN, {**RUN, **other}])

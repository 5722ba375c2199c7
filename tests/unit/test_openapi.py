"""The OpenAPI document against the code that it describes."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import json

from footpath import action, errors, validate
from footpath.config import Settings
from footpath.overview import asked
from footpath.query import PARAMETERS, build
from footpath.web import examples, rejects, responses
from footpath.web.app import App
from footpath.web.openapi import FORGET_ERRORS, REJECT_ERRORS, RETRIEVE_ERRORS, SUBMIT_ERRORS, document
from footpath.web.overview_docs import OVERVIEW_ERRORS

DOCUMENT = document()


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner)


def test_every_error_of_the_status_table_is_told() -> None:
    """The errors of the routes together are those of the status table, each under its status with its code."""
    assert {*SUBMIT_ERRORS, *RETRIEVE_ERRORS, *OVERVIEW_ERRORS, *FORGET_ERRORS, *REJECT_ERRORS} == set(responses.STATUS)
    for path, method, kinds in (
        ("/api/submitlogs", "post", SUBMIT_ERRORS),
        ("/api/retrievelogs", "get", RETRIEVE_ERRORS),
        *((path, "get", OVERVIEW_ERRORS) for path in ("/api/sessions", "/api/counts", "/api/clicks", "/api/flows")),
        ("/api/users/{userId}", "delete", FORGET_ERRORS),
        ("/api/rejects", "get", REJECT_ERRORS),
    ):
        told = DOCUMENT["paths"][path][method]["responses"]
        for kind in kinds:
            answer = told[str(responses.STATUS[kind])]
            example = answer["content"]["application/json"]["examples"][kind.code]["value"]
            assert example["code"] == kind.code
            assert ("Retry-After" in answer.get("headers", {})) == issubclass(kind, errors.Unavailable)


def test_every_code_of_a_reject_is_told() -> None:
    """The codes of rejects in the document are those of the checks."""
    assert DOCUMENT["components"]["schemas"]["Reject"]["properties"]["code"]["enum"] == list(validate.CODES)


def test_every_parameter_is_told() -> None:
    """The parameters in the document are those of the query, and their examples are understood."""
    parameters = DOCUMENT["paths"]["/api/retrievelogs"]["get"]["parameters"]
    assert tuple(item["name"] for item in parameters) == PARAMETERS
    build({item["name"]: [str(item["example"])] for item in parameters if item["name"] != "cursor"})


def test_every_parameter_of_rejects_is_told() -> None:
    """The parameters of the list of rejects in the document are those it takes, and their examples are understood."""
    parameters = DOCUMENT["paths"]["/api/rejects"]["get"]["parameters"]
    assert tuple(item["name"] for item in parameters) == rejects.PARAMETERS
    rejects.build({item["name"]: [str(item["example"])] for item in parameters})


@pytest.mark.parametrize(
    ("path", "names", "build"),
    [
        ("/api/sessions", asked.SESSIONS, asked.sessions_of),
        ("/api/counts", asked.COUNTS, asked.counts_of),
        ("/api/clicks", asked.CLICKS, asked.clicks_of),
        ("/api/flows", asked.FLOWS, asked.flows_of),
    ],
)
def test_every_parameter_of_an_overview_is_told(
    path: str, names: tuple[str, ...], build: Callable[[asked.Given], object]
) -> None:
    """The document has the parameters that an overview takes, their examples are understood, and the required are."""
    parameters = DOCUMENT["paths"][path]["get"]["parameters"]
    assert tuple(item["name"] for item in parameters) == names
    given = {item["name"]: [str(item["example"])] for item in parameters if item["name"] != "cursor"}
    build(given)
    for item in parameters:
        if item.get("required"):
            with pytest.raises(errors.BadQuery):
                build({name: value for name, value in given.items() if name != item["name"]})


def test_every_route_is_told() -> None:
    """The paths in the document are those that are answered."""
    routes = App(lambda _: NotImplemented, Settings())._router.routes
    paths = {getattr(route, "path", "").replace(":path", "") for route in routes}
    paths = {path for path in paths if not path.startswith("/ui")}  # pages are for people
    assert set(DOCUMENT["paths"]) == paths | {"/api/submitlogs"}


def test_every_reference_leads_somewhere() -> None:
    """No $ref in the document leads to what is not there."""
    for name, value in members(DOCUMENT):
        if name == "$ref":
            place: Any = DOCUMENT
            for step in value.removeprefix("#/").split("/"):
                place = place[step]


def test_every_field_is_described() -> None:
    """Every member of every schema has a description."""
    for schema in DOCUMENT["components"]["schemas"].values():
        for name, member in schema["properties"].items():
            assert member.get("description"), (schema["title"], name)


def test_the_pattern_of_types_is_any_case() -> None:
    """The pattern of a type takes the known types in any case, and no others."""
    pattern = DOCUMENT["components"]["schemas"]["Action"]["properties"]["type"]["pattern"]
    for name in action.TYPE_BITS:
        for text in (name, name.lower(), name.title()):
            assert re.search(pattern, text)
    for text in ("HOVER", "CLICKS", "XCLICK", "CLICK|VIEW", ""):
        assert not re.search(pattern, text)


def test_the_examples_are_what_they_say() -> None:
    """Each body among the examples is read as a batch or an array of batches."""
    for example in examples.SUBMIT.values():
        json.decode(json.encode(example["value"]), type=list[action.Batch] | action.Batch)

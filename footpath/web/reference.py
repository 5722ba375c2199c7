"""An OpenAPI document as HTML. Pure: the document in, text out.

Shows what footpath's own documents hold, not all that OpenAPI can say. No JavaScript: one click selects a command
whole, and examples unfold by themselves.
"""

import re
from collections.abc import Iterator
from html import escape

from msgspec.json import encode
from msgspec.json import format as pretty

from footpath.web.examples import RETRIEVE_CURL, SUBMIT_CURL
from footpath.web.schemas import Json

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='%231c6b48'%3E"
    "%3Cellipse cx='5' cy='10' rx='2.6' ry='4'/%3E%3Cellipse cx='11.2' cy='5' rx='2.4' ry='3.6'/%3E%3C/g%3E%3C/svg%3E"
)
_CODE = re.compile(r"`([^`]+)`")


def reference(told: Json, style: str) -> str:
    """The page that shows an OpenAPI document whole."""
    info, schemas = told["info"], told["components"]["schemas"]
    routes = [(method, path, route) for path, item in told["paths"].items() for method, route in item.items()]
    links = "".join(
        f'<li><a href="#{route["operationId"]}"><span class="method {method}">{method.upper()}</span>{escape(path)}</a>'
        for method, path, route in routes
    )
    shapes = "".join(f'<li><a href="#{name}">{name}</a>' for name in schemas)
    sections = "".join(_route(method, path, route) for method, path, route in routes)
    sections += "".join(_schema(name, schema) for name, schema in schemas.items())
    return _html(
        "footpath: the HTTP interface",
        style,
        f'<div class="shell"><nav aria-label="Contents"><h3>Routes</h3><ul>{links}</ul><h3>Shapes</h3><ul>{shapes}</ul>'
        f'</nav><main><section><h1>{escape(info["title"])}</h1><p class="lead">{escape(info["summary"])}</p>'
        f'{_prose(info["description"])}<p class="soft">Version {escape(info["version"])}, as a document for programs:'
        f' <a href="/openapi.json">openapi.json</a>. A click on a command selects it whole.</p></section>{sections}'
        "</main></div>",
    )


def front(told: Json, style: str) -> str:
    """The page that says what the server of a document is, and where to go."""
    info = told["info"]
    commands = "".join(
        f"<p>{escape(label)}:</p>{_code(source, copy=True)}" for label, source in (SUBMIT_CURL[0], RETRIEVE_CURL[0])
    )
    return _html(
        "footpath",
        style,
        f'<main class="front"><h1>footpath</h1><p class="lead">{escape(info["summary"])}</p><ul>'
        '<li><a href="/docs">/docs</a>how to hand actions in and ask for them'
        '<li><a href="/openapi.json">/openapi.json</a>the same for programs'
        '<li><a href="/healthz">/healthz</a>whether the process answers'
        '<li><a href="/readyz">/readyz</a>whether it can take and find actions'
        f'</ul>{commands}<p class="soft">Version {escape(info["version"])}. A click on a command selects it whole.</p>'
        "</main>",
    )


def _html(title: str, style: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="{ICON}"><style>{style}</style></head><body>{body}</body></html>'
    )


def _route(method: str, path: str, route: Json) -> str:
    return (
        f'<section id="{route["operationId"]}"><h2><span class="method {method}">{method.upper()}</span>'
        f'<code>{escape(path)}</code></h2><p class="lead">{escape(route["summary"])}</p>'
        f"{_prose(route.get('description', ''))}{''.join(_route_parts(route))}</section>"
    )


def _route_parts(route: Json) -> Iterator[str]:
    if samples := route.get("x-codeSamples"):
        yield "<h3>Commands</h3>"
        for sample in samples:
            yield f"<p>{escape(sample['label'])}:</p>{_code(sample['source'], copy=True)}"
    if parameters := route.get("parameters"):
        yield "<h3>Parameters and headers</h3><dl>"
        for item in parameters:
            place = "" if item["in"] == "query" else f", {item['in']}"
            example = f"<p class=soft>Like <code>{escape(str(item['example']))}</code></p>" if "example" in item else ""
            yield f"<dt><code>{item['name']}</code> <span class=soft>{_kind(item['schema'])}{place}</span>"
            yield f"<dd>{_prose(item['description'])}{example}"
        yield "</dl>"
    if "requestBody" in route:
        content = route["requestBody"]["content"]
        yield f"<h3>Body</h3><p>{_kind(content['application/json']['schema'])}</p>"
        yield from _examples(content["application/json"])
    yield '<h3>Answers</h3><dl class="answers">'
    for status, answer in sorted(route["responses"].items()):
        headers = "".join(f" <code>{name}</code>" for name in answer.get("headers", ()))
        yield f'<dt><span class="status{"" if status < "400" else " bad"}">{status}</span>'
        yield f" <span class=soft>{'with' if headers else ''}{headers}</span><dd>{_prose(answer['description'])}"
        for media, content in answer["content"].items():
            if len(answer["content"]) > 1:
                yield f"<p><code>{media}</code> {_kind(content['schema'])}</p>"
            elif status < "400" and "$ref" in content["schema"]:
                yield f"<p>{_kind(content['schema'])}</p>"
            yield from _examples(content)
    yield "</dl>"


def _examples(content: Json) -> Iterator[str]:
    found = content.get("examples") or ({"": {"value": content["example"]}} if "example" in content else {})
    for name, example in found.items():
        value = example["value"]
        text = value if isinstance(value, str) else pretty(encode(value), indent=2).decode()
        label = example.get("summary", f"Example {name}".strip())
        yield f"<details><summary>{escape(label)}</summary>{_code(text)}</details>"


def _schema(name: str, schema: Json) -> str:
    fields = "".join(
        f"<dt><code>{field}</code> <span class=soft>{_kind(member)}"
        f"{'' if field in schema['required'] else ', optional'}</span>"
        f"<dd>{_prose(member.get('description', ''))}"
        for field, member in schema["properties"].items()
    )
    about = _prose(schema["description"])
    return f'<section id="{name}"><h2>{name}</h2>{about}<h3>Members</h3><dl>{fields}</dl></section>'


def _kind(schema: Json) -> str:
    """What a schema takes, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "oneOf" in schema or "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema.get("oneOf") or schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{escape(str(choice))}</code>" for choice in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(schema['const'])}</code>"
    limits = ""
    if "maxLength" in schema:
        limits = f" of {schema['minLength']} to {schema['maxLength']} characters"
    elif "maximum" in schema:
        limits = f" from {schema['minimum']} to {schema['maximum']}"
    return escape(str(schema.get("format", schema["type"]))) + limits


def _code(text: str, *, copy: bool = False) -> str:
    return f"<pre{' class=copy' if copy else ''}><code>{escape(text, quote=False)}</code></pre>"


def _prose(text: str) -> str:
    """CommonMark's paragraphs and `code`, as HTML."""
    if not text:
        return ""
    text = _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
    return "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))

"""`/footpath.js`, the tracker of pages: `static/tracker.js` as a script for a tag, and as a module.

Made once, without its comments, and packed once. Open to every page, since it holds no secret: what a page may send is
for its key to say. Its name and where it sends to can be set, for people's ad blockers know such names.
"""

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from footpath.config import Settings

MODULE_SUFFIX = ".mjs"
_COMMENT = re.compile(r"^\s*//.*\n|\s+// .*$", re.MULTILINE)
_INDENT = re.compile(r"^\s+|\n(?=\n)", re.MULTILINE)
_TAG = """
const script = document.currentScript, { url, key, user, name } = script.dataset;
window[name || 'footpath'] = footpath({ url: new URL(url || %s, script.src).href, key, user });
"""
_MODULE = """
export default (options) => footpath({ ...options, url: new URL(options.url || %s, import.meta.url).href });
"""
_HEADERS = {
    "cache-control": "public, max-age=3600",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
    "vary": "Accept-Encoding",
}


class _Script(NamedTuple):
    plain: bytes
    packed: bytes
    etag: str


class Tracker:
    """Serves the script and the module."""

    def __init__(self, settings: Settings) -> None:
        """Serve at the path that is set, and at the same with .mjs."""
        self.path = settings.tracker_path
        self.module_path = settings.tracker_path.removesuffix(".js") + MODULE_SUFFIX
        self._submit_path = settings.tracker_submit_path

    async def script(self, request: Request) -> Response:
        """For `<script src>`."""
        return _answer(request, _made(self._submit_path, is_module=False))

    async def module(self, request: Request) -> Response:
        """For `import`."""
        return _answer(request, _made(self._submit_path, is_module=True))


def _answer(request: Request, script: _Script) -> Response:
    headers = {**_HEADERS, "etag": script.etag}
    if script.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = script.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = script.packed
        headers["content-encoding"] = "gzip"
    return Response(content, media_type="text/javascript", headers=headers)


@cache
def _made(submit_path: str, *, is_module: bool) -> _Script:
    source = files("footpath.web").joinpath("static/tracker.js").read_text(encoding="utf-8")
    source = _INDENT.sub("", _COMMENT.sub("", source))
    path = encode(submit_path).decode()
    text = source + _MODULE % path if is_module else f"(() => {{\n{source}{_TAG % path}}})();\n"
    plain = text.encode()
    return _Script(plain, gzip.compress(plain, 9, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:16]}"')

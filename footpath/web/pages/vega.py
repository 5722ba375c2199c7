"""The JavaScript that draws charts: Vega-Lite, as vl-convert bundles it, so that nothing comes from elsewhere.

Bundling takes seconds and 150 MB, so a process of its own does it once, and the file is kept. It does not change while
vl-convert does not.
"""

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path

from footpath.errors import ReadFailed

BUNDLE_SECONDS = 120.0  # it takes 3 to 20
_BUNDLE = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"


class Vega:
    """The bundle in a folder."""

    def __init__(self, folder: Path) -> None:
        """Keep it in a folder, which may not be there yet."""
        self._folder = folder
        self._making = asyncio.Lock()

    async def script(self) -> bytes:
        """The bundle, made now if it has to be.

        Raises:
            ReadFailed: it cannot be made.
        """
        file = self._folder / f"vega-{version('vl-convert-python')}.js"
        async with self._making:
            if not file.exists():
                await self._make(file)
        return await asyncio.to_thread(file.read_bytes)

    async def _make(self, file: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _BUNDLE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(BUNDLE_SECONDS):
                made, said = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise ReadFailed("the charts' JavaScript could not be made in time; load the page again") from error
        if process.returncode != 0:
            raise ReadFailed(f"the charts' JavaScript could not be made: {said.decode(errors='replace')[-300:]}")
        await asyncio.to_thread(_keep, file, made)


def _keep(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unready = file.with_suffix(f".{os.getpid()}")
    unready.write_bytes(content)
    unready.replace(file)

"""`python -m footpath` is the command `footpath`."""

from footpath.cli.main import app

app()

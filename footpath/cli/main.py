"""The command `footpath`: its subcommands, and how an error reaches the person at the terminal."""

import sys
from typing import Annotated

import typer

from footpath.cli import (
    backup,
    check,
    demo,
    expire,
    export,
    find,
    forget,
    importing,
    keys,
    push,
    rejects,
    serve,
    setup,
    sink,
    sql,
    tail,
    terminal,
)
from footpath.errors import FootpathError


class _Cli(typer.Typer):
    """Prints what footpath refuses as one sentence instead of a traceback, and exits with 1."""

    def __call__(self) -> None:
        try:
            super().__call__()
        except FootpathError as error:
            terminal.say(f"footpath: {error}")
            sys.exit(1)


app = _Cli(
    name="footpath",
    help="Keeps what your users did, and gives any user's path back in milliseconds.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command(name="import")(importing.import_)
app.command()(find.find)
app.command()(tail.tail)
app.command()(export.export)
app.command()(forget.forget)
app.command()(sql.sql)
app.command()(check.check)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(demo.demo)
app.command()(sink.sink)
app.command()(push.push)
app.command()(expire.expire)
app.add_typer(keys.app, name="key")
app.add_typer(rejects.app, name="rejects")
app.add_typer(setup.app, name="setup")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer gives it so
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"footpath {version('footpath')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="say which footpath this is", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Without a subcommand, say which there are."""
    if context.invoked_subcommand is None:
        sys.stdout.write(f"{context.get_help()}\n")

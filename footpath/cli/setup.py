"""`footpath setup`: what footpath needs elsewhere."""

import sys
from typing import Annotated

import typer
from typer import Option

from footpath.cli import terminal
from footpath.errors import BadSetting

app = typer.Typer(
    help="Look up what footpath needs elsewhere, and make it.\n\nExample: footpath setup aws --journal kinesis://actions",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Without it, typer would take the only command for the whole."""


@app.command()
def aws(
    journal: Annotated[str | None, Option(help="the stream: kinesis://STREAM?region=…", metavar="ADDRESS")] = None,
    table: Annotated[
        str | None,
        Option(help="the table: iceberg://glue/NAMESPACE/TABLE?warehouse=s3://BUCKET/PREFIX", metavar="ADDRESS"),
    ] = None,
    workgroup: Annotated[str | None, Option(help="the Athena work group that reads run in")] = None,
    results: Annotated[str | None, Option(help="where it puts results: s3://BUCKET/PREFIX")] = None,
    shards: Annotated[int | None, Option(help="shards of a new stream; without, as many as are needed", min=1)] = None,
    retention_hours: Annotated[
        int, Option(help="how long the stream keeps records: as long as a sink may be down", min=24, max=8760)
    ] = 168,
    region: Annotated[str | None, Option(help="the region of the work group")] = None,
    *,
    apply: Annotated[bool, Option("--apply", help="make what is missing; without, it is only told")] = False,
) -> None:
    """Look up the stream, the table and the Athena work group, and with --apply make what is missing.

    It may be run again at any time; nothing is removed or made smaller. Without --apply it ends with 1 if something is
    not as it should be.

    Example: footpath setup aws --journal kinesis://actions --apply

    For the table, say where its files go: --table 'iceberg://glue/footpath/actions?warehouse=s3://BUCKET/PREFIX'
    """
    from footpath.aws.extra import needed

    with needed():
        from footpath.aws import setup
    from footpath.aws.address import stream_address, table_address

    if journal is None and table is None and workgroup is None:
        raise BadSetting("say what to look up: --journal, --table or --workgroup")
    if workgroup is not None and not (results or "").startswith("s3://"):
        raise BadSetting("--workgroup needs --results s3://BUCKET/PREFIX: Athena puts results there")
    steps: list[setup.Step] = []
    if journal is not None:
        steps += setup.stream_steps(stream_address(journal), shards=shards, retention_hours=retention_hours)
    if table is not None:
        steps += setup.table_steps(table_address(table))
    if workgroup is not None and results is not None:
        steps += setup.work_group_steps(setup.WorkGroup(workgroup, results, region))
    lacking = 0
    for step in steps:
        there, line = setup.take(step, apply=apply)
        lacking += not there
        sys.stdout.write(f"{terminal.safe(line)}\n")
    if lacking:
        terminal.say("run the same with --apply to make it so")
        sys.exit(1)

"""Commands on the results of a workspace."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.app import AT_HOME, AsJson, WorkspaceFolder, app, existing
from storage.errors import InputError

catalog_app = typer.Typer(help="The DuckDB catalog of a workspace.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")


KeptFolder = Annotated[
    Path | None, typer.Option("--results", **AT_HOME, help="Files of `nr keep`, in place of a workspace.")
]


@app.command()
def report(
    workspace: WorkspaceFolder = Path("workspace"),
    results: KeptFolder = None,
    title: Annotated[str, typer.Option(help="Its title.")] = "results",
    figures: Annotated[bool, typer.Option("--figures", help="Write its pictures for papers too, PNG and SVG.")] = False,
) -> None:
    """Write the HTML report of a workspace, and print its path. With --results: a plot of each file."""
    if results is not None:
        from flows.report.paper_plots import draw_results
        from storage.kept_results import KeptResults

        for path in draw_results(KeptResults(results)):
            print(path)
        return
    from flows.report import write_report
    from flows.report.comparison import FILE as COMPARISON
    from storage.workspace import Workspace

    print(write_report(Workspace(existing(workspace)), title=title))
    if (studies := Workspace(workspace).reports / COMPARISON).exists():
        print(studies)
    if figures:
        from flows.report.paper_plots import write_figures

        for path in write_figures(Workspace(workspace)):
            print(path)


@app.command()
def results(workspace: WorkspaceFolder = Path("workspace"), json: AsJson = False) -> None:
    """Show what every run learned and forgot, and its tasks."""
    from flows.cli.table import print_tables
    from flows.report.result_queries import results as tables
    from storage.workspace import Workspace

    print_tables(tables(Workspace(existing(workspace))), json)


@app.command()
def runs(workspace: WorkspaceFolder = Path("workspace"), json: AsJson = False) -> None:
    """List the runs, newest first. With id, name, state, and what each learned and forgot."""
    from flows.cli.table import print_tables
    from flows.report.result_queries import runs as table
    from storage.workspace import Workspace

    print_tables([table(Workspace(existing(workspace)))], json)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, its beginning, or its name.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN", help="The other.")],
    workspace: WorkspaceFolder = Path("workspace"),
    json: AsJson = False,
) -> None:
    """Hold two runs against each other. Their settings, and their figures item by item."""
    from flows.cli.table import print_tables
    from flows.report.result_queries import compare as tables
    from storage.workspace import Workspace

    print_tables(tables(Workspace(existing(workspace)), run_a, run_b), json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(**AT_HOME, help="Folder to write to.")],
    workspace: WorkspaceFolder = Path("workspace"),
    format: Annotated[
        Literal["parquet", "csv", "mlflow"], typer.Option(help="mlflow: CSV of MLflow's tables and columns.")
    ] = "parquet",
) -> None:
    """Write every table and view of the results to a file."""
    from flows.report.result_queries import export as write
    from storage.workspace import Workspace

    for path in write(Workspace(existing(workspace)), out, format):
        print(path)


@app.command()
def keep(
    out: Annotated[Path, typer.Argument(**AT_HOME, help="The file, like docs/results/libreoffice-fronts.parquet.")],
    config: Annotated[str, typer.Option(help="The config that the runs were made by.")],
    command: Annotated[str, typer.Option(help="The command that made them.")],
    commit: Annotated[str, typer.Option(help="The commit of this project that ran it.")],
    machine: Annotated[str, typer.Option(help="What it ran on, like: 2 cores, AMD EPYC, no GPU.")],
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Keep what all runs learned and forgot in one Parquet file. With how the runs were made."""
    from storage.kept_results import keep_results
    from storage.workspace import Workspace

    made_by = {"config": config, "command": command, "commit": commit, "machine": machine}
    print(f"{out}: {keep_results(Workspace(existing(workspace)), out, made_by)} runs")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='For example "from learning_vs_forgetting".')],
    workspace: WorkspaceFolder = Path("workspace"),
    results: KeptFolder = None,
    format: Annotated[
        Literal["table", "json", "csv", "parquet"], typer.Option(help="For people or, all rows, for programs.")
    ] = "table",
    all_: Annotated[bool, typer.Option("--all", help="Show every row and column in the table.")] = False,
) -> None:
    """Query the results with DuckDB SQL."""
    from storage.kept_results import KeptResults
    from storage.workspace import Workspace

    opened = Workspace(existing(workspace)) if results is None else KeptResults(results)
    if format == "table":
        from flows.cli.table import print_query

        print_query(opened, query, all_)
        return
    if format == "parquet" and sys.stdout.isatty():
        raise InputError("Parquet is not for a terminal: nr sql QUERY --format parquet > rows.parquet")
    from storage.query import WRITERS

    WRITERS[format](opened, query, sys.stdout.buffer)


@catalog_app.command()
def rebuild(workspace: WorkspaceFolder = Path("workspace")) -> None:
    """Make the catalog anew from the record files."""
    from storage.catalog import rebuild_catalog
    from storage.workspace import Workspace

    rebuild_catalog(Workspace(existing(workspace)))

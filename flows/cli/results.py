"""Commands on the results of a workspace, and the SQL of `nr results`, `runs`, `compare` and `export`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.app import AT_HOME, AsJson, WorkspaceFolder, app, existing
from storage.errors import InputError

if TYPE_CHECKING:
    from storage.query import Result
    from storage.workspace import Workspace

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
    from storage.workspace import Workspace

    tables = result_tables(Workspace(existing(workspace)))
    print_tables(tables, json)
    if said := off_the_front(tables[0][1]):
        print(said, file=sys.stderr if json else sys.stdout)


@app.command()
def runs(workspace: WorkspaceFolder = Path("workspace"), json: AsJson = False) -> None:
    """List the runs, newest first. With id, name, state, and what each learned and forgot."""
    from flows.cli.table import print_tables
    from storage.workspace import Workspace

    print_tables([run_table(Workspace(existing(workspace)))], json)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, its beginning, or its name.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN", help="The other.")],
    workspace: WorkspaceFolder = Path("workspace"),
    json: AsJson = False,
) -> None:
    """Hold two runs against each other. Their settings, and their figures item by item."""
    from flows.cli.table import print_tables
    from storage.workspace import Workspace

    print_tables(comparison_tables(Workspace(existing(workspace)), run_a, run_b), json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(**AT_HOME, help="Folder to write to.")],
    workspace: WorkspaceFolder = Path("workspace"),
    format: Annotated[
        Literal["parquet", "csv", "mlflow"], typer.Option(help="mlflow: CSV of MLflow's tables and columns.")
    ] = "parquet",
) -> None:
    """Write every table and view of the results to a file."""
    from storage.workspace import Workspace

    for path in write_tables(Workspace(existing(workspace)), out, format):
        print(path)


@app.command()
def keep(
    out: Annotated[Path, typer.Argument(**AT_HOME, help="The file, like docs/results/libreoffice-fronts.parquet.")],
    config: Annotated[str, typer.Option(help="The config that the runs were made by.")],
    command: Annotated[str, typer.Option(help="The command that made them.")],
    commit: Annotated[str, typer.Option(help="The commit of this project that ran it.")],
    machine: Annotated[str, typer.Option(help="What it ran on, like: 2 cores, AMD EPYC, no GPU.")],
    workspace: WorkspaceFolder = Path("workspace"),
    where: Annotated[
        str, typer.Option(help="Which runs, where others stand there too: a condition on learning_vs_forgetting.")
    ] = "true",
) -> None:
    """Keep what the runs learned and forgot in one Parquet file. With how the runs were made."""
    from storage.kept_results import keep_results
    from storage.workspace import Workspace

    made_by = {"config": config, "command": command, "commit": commit, "machine": machine}
    print(f"{out}: {keep_results(Workspace(existing(workspace)), out, made_by, where)} runs")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help='For example "from learning_vs_forgetting".')],
    workspace: WorkspaceFolder = Path("workspace"),
    results: KeptFolder = None,
    format: Annotated[
        Literal["table", "json", "csv", "parquet"], typer.Option(help="For people or, all rows, for programs.")
    ] = "table",
    all_: Annotated[bool, typer.Option("--all", help="Show every row and column in the table.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Query the results with DuckDB SQL."""
    from storage.kept_results import KeptResults
    from storage.workspace import Workspace

    opened = Workspace(existing(workspace)) if results is None else KeptResults(results)
    if json:
        format = "json"
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


# What matters stands at both ends: a narrow terminal leaves out the columns between.
LEARNING = """SELECT name, seed, run_id, extra_parameters, seconds, forgetting_in_replay, language, learning, forgetting
FROM learning_vs_forgetting ORDER BY base_model_id, language, forgetting, name, seed"""
TASKS = """SELECT name, seed, eval_set AS task, run_id, language, role, n, base_value AS base, value AS run, metric,
       difference, low, high
FROM paired_differences WHERE metric IN ('acc', 'acc_norm', 'auc') ORDER BY role, eval_set, metric, name, seed"""
RUNS = """SELECT r.run_id, coalesce(r.name, r.method) AS name, r.seed, r.status, r.created, r.base_model_id AS base,
       l.language, l.learning, l.forgetting
FROM runs r LEFT JOIN learning_vs_forgetting l USING (run_id) ORDER BY r.created DESC, name, r.seed"""
DIFFERENT_SETTINGS = """WITH flat AS (
    SELECT r.run_id, k.path, coalesce(json_extract_string(r.settings::JSON, k.path),
                                      CASE k.path WHEN '$.base.vocabulary' THEN 'full' END) AS setting
    FROM runs r, (SELECT DISTINCT run_id, unnest(flatten([['$.' || part || '.' || key
                  for key in coalesce(json_keys(settings::JSON, '$.' || part), [])]
                  for part in ['base', 'method', 'training']])) AS path FROM runs) k
    WHERE k.run_id IN ($a, $b) AND r.run_id IN ($a, $b))
SELECT DISTINCT substr(x.path, 3) AS setting, x.setting AS a, y.setting AS b
FROM flat x JOIN flat y ON y.path = x.path AND x.run_id = $a AND y.run_id = $b
WHERE x.setting IS DISTINCT FROM y.setting ORDER BY 1"""
COMPARED = """SELECT eval_set, language, metric, a, b, difference, low, high, n FROM compare_runs($a, $b)"""

# Tables of MLflow's store by their own columns (mlflow/store/tracking/dbmodels/models.py), one query each.
MLFLOW = {
    "runs": """SELECT run_id AS run_uuid, name, 'neutral-residues' AS source_type, 'FINISHED' AS status,
        epoch_ms(created) - coalesce(seconds * 1000, 0)::BIGINT AS start_time, epoch_ms(created) AS end_time,
        'active' AS lifecycle_stage FROM runs WHERE status = 'done'""",
    "params": """SELECT key, json_extract_string(settings::JSON, '$.' || key) AS value, run_id AS run_uuid FROM (
            SELECT run_id, settings, 'method.' || unnest(json_keys(settings::JSON, '$.method')) AS key FROM runs
            UNION ALL
            SELECT run_id, settings, 'training.' || unnest(json_keys(settings::JSON, '$.training')) FROM runs)
        UNION ALL SELECT 'seed', seed::VARCHAR, run_id FROM runs""",
    "metrics": """SELECT key, value, timestamp, run_uuid, step, isnan(value) AS is_nan FROM (
        SELECT s.name || '/' || e.metric AS key, e.value, epoch_ms(r.created) AS timestamp, r.run_id AS run_uuid, e.step
        FROM evaluations e JOIN eval_sets s USING (eval_id) JOIN runs r ON r.model_id = e.model_id
        JOIN last_evaluations l ON (l.run_id, l.eval_id, l.settings_hash) = (r.run_id, e.eval_id, e.settings_hash)
        UNION ALL
        SELECT 'lm_loss', t.lm_loss, epoch_ms(r.created), r.run_id, t.step
        FROM training_steps t JOIN runs r USING (run_id)
        WHERE t.lm_loss IS NOT NULL)""",
}


def result_tables(workspace: "Workspace") -> "list[tuple[str, Result]]":
    """Return titles and tables: what was learned and forgotten, and the tasks with the 95 % interval of the
    difference.
    """
    from storage.query import query

    tables = [("learning and forgetting, bits per byte of held-out text", query(workspace, LEARNING))]
    tasks = query(workspace, TASKS)
    return tables + (
        [("tasks: run against base, with the 95 % interval of the difference", tasks)] if tasks.rows else []
    )


def off_the_front(runs: "Result") -> str | None:
    """Say of runs without forgetting why none of them is on the Pareto front; None where there is none."""
    count = sum(row["forgetting"] is None for row in runs.as_dicts())
    if not count:
        return None
    return (
        f"forgetting is not known of {count} of {len(runs.rows)} runs, which can therefore be on no Pareto front: it "
        "is measured on text of the original language that the replay does not contain (evaluation.texts, or a corpus)"
    )


def run_table(workspace: "Workspace") -> "tuple[str, Result]":
    """Return every run that was begun, newest first, with what it learned and forgot where it was evaluated."""
    from storage.query import query

    return "runs, newest first; learning and forgetting in bits per byte", query(workspace, RUNS)


def comparison_tables(workspace: "Workspace", a: str, b: str) -> "list[tuple[str, Result]]":
    """Return titles and tables: what was set otherwise, and b minus a on every set that both were measured on.

    Raises:
        InputError: no such run, or the beginning of several ids.
    """
    from storage.query import find_run, query

    runs = {"a": find_run(workspace, a), "b": find_run(workspace, b)}
    names = {
        side: query(
            workspace, "SELECT coalesce(name, method) || ' seed ' || seed FROM runs WHERE run_id = ?", [run]
        ).rows[0][0]
        for side, run in runs.items()
    }
    return [
        (
            f"a: {names['a']} ({runs['a']}), b: {names['b']} ({runs['b']}); set otherwise",
            query(workspace, DIFFERENT_SETTINGS, runs),
        ),
        ("b minus a on the same items, with the 95 % interval", query(workspace, COMPARED, runs)),
    ]


def write_tables(workspace: "Workspace", out: Path, format: Literal["parquet", "csv", "mlflow"]) -> list[Path]:
    """Write every table and view to a file of its own in `out`; format mlflow: MLflow's tables, as CSV."""
    from storage.catalog import connect

    out.mkdir(parents=True, exist_ok=True)
    options = "FORMAT parquet" if format == "parquet" else "FORMAT csv, HEADER"
    written = []
    with connect(workspace) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY 1"
        ).fetchall()
        queries = MLFLOW if format == "mlflow" else {name: f'FROM "{name}"' for (name,) in names}
        for name, sql in queries.items():
            path = out / f"{name}.{'parquet' if format == 'parquet' else 'csv'}"
            partial = path.with_name(f".{path.name}.partial")
            partial.touch()  # which tells what the system refuses; DuckDB's words are as of a damaged file
            target = str(partial).replace("'", "''")
            connection.execute(f"COPY ({sql}) TO '{target}' ({options})")
            partial.replace(path)
            written.append(path)
    return written

"""Queries of the published catalog for `nr results`, `runs`, `compare` and `export`, and files made of it."""

from pathlib import Path
from typing import Literal

from storage.catalog import connect
from storage.errors import InputError
from storage.query import Result, query
from storage.workspace import Workspace

Format = Literal["parquet", "csv", "mlflow"]

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
RUNS_BY = """SELECT run_id, coalesce(name, method), seed FROM runs
WHERE CASE WHEN EXISTS (FROM runs WHERE run_id = $run) THEN run_id = $run
      ELSE starts_with(run_id, $run) OR coalesce(name, method) = $run END
QUALIFY status = 'done' OR count(*) FILTER (status = 'done') OVER () = 0 ORDER BY 2, 3, 1"""
SHOWN_RUNS = 8
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
        UNION ALL
        SELECT 'lm_loss', t.lm_loss, epoch_ms(r.created), r.run_id, t.step
        FROM training_steps t JOIN runs r USING (run_id)
        WHERE t.lm_loss IS NOT NULL)""",
}


def results(workspace: Workspace) -> list[tuple[str, Result]]:
    """Return titles and tables: what was learned and forgotten, and the tasks with the 95 % interval of the
    difference.
    """
    tables = [("learning and forgetting, bits per byte of held-out text", query(workspace, LEARNING))]
    tasks = query(workspace, TASKS)
    return tables + (
        [("tasks: run against base, with the 95 % interval of the difference", tasks)] if tasks.rows else []
    )


def runs(workspace: Workspace) -> tuple[str, Result]:
    """Return every run that was begun, newest first, with what it learned and forgot where it was evaluated."""
    return "runs, newest first; learning and forgetting in bits per byte", query(workspace, RUNS)


def compare(workspace: Workspace, a: str, b: str) -> list[tuple[str, Result]]:
    """Return titles and tables: what was set otherwise, and b minus a on every set that both were measured on.

    Raises:
        InputError: no such run, or the beginning of several ids.
    """
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


def find_run(workspace: Workspace, run: str) -> str:
    """Return the id of a run by its id, the first letters of its id, or its name; of several those that are done count.

    Raises:
        InputError: there is none, or there are several, which the sentence lists.
    """
    found = query(workspace, RUNS_BY, {"run": run}).rows
    if len(found) == 1:
        return str(found[0][0])
    if not found:
        raise InputError(
            f"no run of {workspace.root} has the name {run!r} or an id that begins so; `nr results` lists them"
        )
    shown = ", ".join(f"{run_id} ({name} seed {seed})" for run_id, name, seed in found[:SHOWN_RUNS])
    more = f" and {len(found) - SHOWN_RUNS} more" if len(found) > SHOWN_RUNS else ""
    raise InputError(
        f"{len(found)} runs of {workspace.root} have the name {run!r} or an id that begins so: {shown}{more}; "
        "give the first letters of one id"
    )


def export(workspace: Workspace, out: Path, format: Format) -> list[Path]:
    """Write every table and view to a file of its own in `out`; format mlflow: MLflow's tables, as CSV."""
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
            target = str(partial).replace("'", "''")
            connection.execute(f"COPY ({sql}) TO '{target}' ({options})")
            partial.replace(path)
            written.append(path)
    return written

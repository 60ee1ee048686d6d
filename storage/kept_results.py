"""Results as small Parquet files, a file a study, a row a run: what was measured, and the command that measured it.

They stand beside the documentation and are read without the workspace that they come from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.catalog import connect
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.workspace import Workspace

# minutes: wall time of the training, of which an interpolated run has that of the finetuning that it is made of.
ROWS = """SELECT l.name, l.method, l.learning_rate, l.seed, l.language, l.learning, l.learning_stderr, l.forgetting,
       l.forgetting_stderr, l.forgetting_in_replay, round(r.seconds / 60, 2) AS minutes, r.tokens, r.extra_parameters,
       l.share_non_embedding, r.precision, r.created, r.settings, $config AS config, $command AS command,
       $commit AS commit, $machine AS machine, l.run_id, l.base_model_id, l.settings_hash, k.kl_new, k.kl_original
FROM learning_vs_forgetting l JOIN runs r USING (run_id)
    LEFT JOIN kl_vs_forgetting k USING (run_id, language, settings_hash)
WHERE run_id IN (SELECT unnest($run_ids))
ORDER BY l.base_model_id, l.language, l.forgetting, l.run_id"""
LATER = ("kl_new", "kl_original")  # columns that files of before 30 November 2026 lack
RESULTS = "CREATE TABLE results AS SELECT parse_filename(filename, true) AS study, * EXCLUDE filename FROM kept"
FRONT = """CREATE VIEW results_front AS
SELECT a.* FROM results a WHERE a.learning IS NOT NULL AND a.forgetting IS NOT NULL AND NOT EXISTS (
    FROM results b
    WHERE b.study = a.study AND b.base_model_id = a.base_model_id AND b.language = a.language
      AND b.settings_hash = a.settings_hash AND b.learning >= a.learning AND b.forgetting <= a.forgetting
      AND (b.learning > a.learning OR b.forgetting < a.forgetting))
ORDER BY a.study, a.forgetting"""


@dataclass(frozen=True)
class KeptResults:
    """A folder of such files, asked as tables `results` (with `study`, the file's name) and `results_front`."""

    root: Path

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the rows of all files (use as a context manager).

        Raises:
            InputError: there is no such file, or one that is no Parquet of results.
        """
        files = sorted(str(path) for path in self.root.glob("[!.]*.parquet"))
        if not files:
            raise InputError(f"{self.root} holds no results (*.parquet): `nr keep` writes them from a workspace")
        connection = connect_quietly()
        try:
            kept = connection.read_parquet(files, union_by_name=True, filename=True)
            absent = "".join(f", NULL::DOUBLE AS {name}" for name in LATER if name not in kept.columns)
            kept.project(f"*{absent}").create_view("kept")
            for definition in (RESULTS, "DROP VIEW kept", FRONT):
                connection.execute(definition)
        except duckdb.Error as error:
            connection.close()
            said = str(error).splitlines()[0]
            raise InputError(f"{self.root} holds a file that is no results of `nr keep` ({said})") from error
        return connection


def keep_results(workspace: Workspace, out: Path, made_by: Mapping[str, str], where: str = "true") -> int:
    """Write measured runs of a workspace to one Parquet file, whole or not at all; return how many they are.

    made_by: config, command, commit and machine, which every row gets. where: a condition on learning_vs_forgetting,
    the user's own SQL, as `nr sql` takes it.

    Raises:
        InputError: no run has been measured, none fulfils the condition, or it is none.
    """
    with connect(workspace) as connection:
        try:
            kept = connection.view("learning_vs_forgetting").filter(where).project("run_id").fetchall()
        except duckdb.Error as error:
            raise InputError(f"--where {where!r}: {str(error).splitlines()[0]}") from error
        found = connection.sql(ROWS, params={**made_by, "run_ids": [run_id for (run_id,) in kept]}).to_arrow_table()
        if found.num_rows == 0:
            runs = "no measured run yet" if where == "true" else f"no measured run where {where}"
            raise InputError(f"workspace {workspace.root} has {runs}, so there is nothing to keep")
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
        try:
            partial.touch()  # which tells what the system refuses; DuckDB's words are as of a damaged file
            connection.from_arrow(found).to_parquet(str(partial), compression="zstd")
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    return int(found.num_rows)

"""The catalog is a copy of the record files, and readers never stand in its way."""

import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.catalog import TABLES, connect, rebuild_catalog, refresh_catalog
from storage.errors import InputError
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace

BASE = {"model_id": "base", "source": "pretrained here", "weights_hash": "w", "parent_model_id": None}
SETS = [
    {"eval_id": "n", "name": "new", "language": "fra", "text_domain": "web"},
    {"eval_id": "o1", "name": "replay", "language": "eng", "text_domain": "web"},
    {"eval_id": "o2", "name": "other", "language": "eng", "text_domain": "novels"},
]
HOLD_OPEN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
input()
print(connection.execute("SELECT count(*) FROM models").fetchone()[0])
"""
FIGURES = {"base": (3.0, 2.0, 1.8), "lora": (2.4, 2.0, 2.1), "nr": (2.5, 2.0, 1.81)}  # n, o1, o2


def test_language_yield_says_what_a_refresh_found_and_lost(tmp_path):
    workspace = Workspace(tmp_path)
    corpora = [{"version": "v", "name": "web", "language": "hun", "text_domain": "web"}]
    write_records(workspace, "corpora", "v", corpora)
    write_records(workspace, "corpus_units", "v", [{"version": "v", "unit_id": "u", "documents_key": "k"}])
    rows = [
        ("documents", "k", "u", "hun", "opt_out", "robots_txt", 1),
        ("documents", "k", "u", "hun", "extract", "kept", 3),
        ("documents", "k", "u", "und", "opt_out", "x_robots_tag", 2),
        ("documents", "k", "u", "und", "gate", "not_html", 9),
        ("documents", "other settings", "u", "hun", "extract", "kept", 7),
        ("documents", "k", "another unit", "hun", "extract", "kept", 7),
        ("corpus", "v", "", "hun", "corpus", "kept", 2),
        ("corpus", "v", "", "hun", "verdict", "too_short", 1),
    ]
    columns = ("scope", "scope_id", "unit_id", "language", "stage", "reason", "documents")
    write_records(workspace, "funnel", "f", [dict(zip(columns, row, strict=True)) | {"characters": 5} for row in rows])
    refresh_catalog(workspace)
    columns = "language, pages, opted_out, opted_out_share, with_text, in_corpus, in_corpus_share"
    found = query(workspace, f"SELECT {columns} FROM language_yield").rows
    assert found == [("hun", 4, 1, 0.25, 3, 2, 0.5), ("und", 2, 2, None, 0, None, None)]


def record_a_study(workspace: Workspace) -> None:
    write_records(workspace, "models", "base", [BASE])
    write_records(workspace, "eval_sets", "sets", SETS)
    for version, language, domain in (("cn", "fra", "web"), ("co", "eng", "web")):
        write_records(
            workspace,
            "corpora",
            version,
            [{"version": version, "name": version, "language": language, "text_domain": domain}],
        )
    for model, figures in FIGURES.items():
        rows = [
            {"model_id": model, "step": 0 if model == "base" else 10, "eval_id": eval_id, "settings_hash": "s",
             "metric": "bits_per_byte", "value": value, "n": 20, "stderr": 0.01}
            for eval_id, value in zip(("n", "o1", "o2"), figures, strict=True)
        ]  # fmt: skip
        write_records(workspace, "evaluations", model, rows)
        if model != "base":
            run = {"run_id": model, "base_model_id": "base", "model_id": model, "method": model, "seed": 0}
            write_records(workspace, "runs", model, [run])
            inputs = [
                {"run_id": model, "corpus_version": "cn", "role": "new", "language": "fra", "share": 0.9},
                {"run_id": model, "corpus_version": "co", "role": "original", "language": "eng", "share": 0.1},
            ]
            write_records(workspace, "run_inputs", model, inputs)
    refresh_catalog(workspace)


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    record_a_study(workspace)
    return workspace


def test_learning_and_forgetting_are_differences_to_the_base_by_role(workspace):
    rows = query(
        workspace,
        "SELECT run_id, language, learning, forgetting, forgetting_in_replay "
        "FROM learning_vs_forgetting ORDER BY run_id",
    )
    assert [(r[0], r[1], round(r[2], 6), round(r[3], 6), r[4]) for r in rows.rows] == [
        ("lora", "fra", 0.6, 0.3, 0.0),
        ("nr", "fra", 0.5, 0.01, 0.0),
    ]


def test_the_pareto_front_leaves_out_the_beaten(workspace):
    assert len(query(workspace, "FROM pareto_front").rows) == 2
    worse = [
        {"model_id": "nr", "step": 10, "eval_id": "n", "settings_hash": "s", "metric": "bits_per_byte", "value": 2.3}
    ]
    write_records(workspace, "evaluations", "nr-again", worse)
    worse = [{**worse[0], "eval_id": "o2", "value": 1.7}]
    write_records(workspace, "evaluations", "nr-again-o2", worse)
    refresh_catalog(workspace)
    assert [row[0] for row in query(workspace, "SELECT run_id FROM pareto_front").rows] == ["nr"]


def test_a_repeated_record_does_not_double_rows_and_a_shrunk_one_loses_them(workspace):
    before = query(workspace, "SELECT count(*) FROM evaluations").rows
    record_a_study(workspace)
    assert query(workspace, "SELECT count(*) FROM evaluations").rows == before
    write_records(workspace, "eval_sets", "sets", SETS[:1])
    refresh_catalog(workspace)
    assert query(workspace, "SELECT eval_id FROM eval_sets").rows == [("n",)]


def test_rebuilding_gives_the_same_tables(workspace):
    def everything():
        return {table: sorted(map(str, query(workspace, f"FROM {table}").rows)) for table in TABLES}

    before = everything()
    rebuild_catalog(workspace)
    assert everything() == before


def test_an_unreadable_private_catalog_is_rebuilt(workspace):
    workspace.private_catalog.write_bytes(b"torn")
    write_records(workspace, "models", "more", [{**BASE, "model_id": "more"}])
    refresh_catalog(workspace)
    assert len(query(workspace, "FROM models").rows) == 2


def test_a_reader_in_another_process_blocks_nobody_and_a_new_one_sees_new_rows(workspace):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(workspace.catalog)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout.readline() == "open\n"
        write_records(workspace, "models", "more", [{**BASE, "model_id": "more"}])
        refresh_catalog(workspace)
        assert query(workspace, "SELECT count(*) FROM models").rows == [(2,)]
        assert reader.communicate("\n")[0] == "1\n"


def test_everything_is_documented(workspace):
    with connect(workspace) as connection:
        relations = connection.execute(
            "SELECT table_name, comment FROM duckdb_tables() "
            "UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal "
            "UNION ALL SELECT function_name, comment FROM duckdb_functions() WHERE NOT internal"
        ).fetchall()
        columns = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
    assert {*TABLES, "learning_vs_forgetting", "documents"} <= {name for name, _ in relations}
    assert [name for name, comment in relations if not comment] == []
    assert {*TABLES, "learning_vs_forgetting"} <= {name for name, _, _ in columns}
    undocumented = [f"{name}.{column}" for name, column, comment in columns if not comment]
    assert undocumented == []


def test_bad_sql_and_a_missing_catalog_are_sentences(workspace, tmp_path):
    with pytest.raises(InputError, match="DuckDB refused the query"):
        query(workspace, "FROM nowhere")
    with pytest.raises(InputError, match="has no catalog yet"):
        query(Workspace(tmp_path / "empty"), "SELECT 1")
    with pytest.raises(InputError), connect(workspace):
        query(workspace, "DELETE FROM models")


def test_no_extension_is_fetched(workspace):
    with connect(workspace) as connection:
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            assert connection.execute("SELECT current_setting(?)", [setting]).fetchall() == [(False,)]
        with pytest.raises(duckdb.Error, match="httpfs"):
            connection.execute("FROM read_parquet('https://example.invalid/x.parquet')")


def test_a_language_that_no_input_has_is_neither_learned_nor_forgotten(workspace):
    before = query(workspace, "FROM learning_vs_forgetting").rows
    write_records(workspace, "eval_sets", "danish", [{"eval_id": "d", "language": "dan", "text_domain": "web"}])
    figure = {"eval_id": "d", "settings_hash": "s", "metric": "bits_per_byte"}
    rows = [
        {"model_id": "base", "step": 0, "value": 1.0, **figure},
        {"model_id": "lora", "step": 10, "value": 9.0, **figure},
    ]
    write_records(workspace, "evaluations", "danish", rows)
    refresh_catalog(workspace)
    assert query(workspace, "FROM learning_vs_forgetting").rows == before


def test_forgetting_is_measured_on_the_sets_that_the_config_names(workspace):
    write_records(
        workspace, "run_eval_sets", "nr", [{"run_id": "nr", "eval_id": "n"}, {"run_id": "nr", "eval_id": "o1"}]
    )
    refresh_catalog(workspace)
    rows = query(workspace, "SELECT run_id, forgetting IS NULL FROM learning_vs_forgetting ORDER BY run_id").rows
    assert rows == [("lora", False), ("nr", True)]
    assert query(workspace, "SELECT run_id FROM pareto_front").rows == [("lora",)]


def test_a_kill_between_reading_records_and_publishing_loses_nothing(workspace, monkeypatch):
    write_records(workspace, "models", "more", [{**BASE, "model_id": "more"}])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("storage.catalog._publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        refresh_catalog(workspace)
    refresh_catalog(workspace)
    assert query(workspace, "SELECT count(*) FROM models").rows == [(2,)]


def test_whoever_opened_it_for_writing_does_not_stand_in_our_way(workspace):
    hold = HOLD_OPEN.replace(", read_only=True", "")
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(workspace.catalog)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        assert query(workspace, "SELECT count(*) FROM models").rows == [(1,)]
        writer.communicate("\n")


def test_one_statement_at_a_time(workspace):
    for statements in ("", "select 1; select 2"):
        with pytest.raises(InputError, match="give one SQL statement"):
            query(workspace, statements)


def write_as_format_1(path, rows):
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"neutral_residues_format": "1"})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def test_records_of_format_1_are_read(tmp_path):
    workspace = Workspace(tmp_path / "old")
    key = {"model_id": "m", "step": 0, "eval_id": "e", "settings_hash": "s", "n": 9}
    nats = {**key, "metric": "nats_per_token", "value": 2.0, "stderr": 0.1}
    write_as_format_1(workspace.records("evaluations") / "m.parquet", [nats])
    write_as_format_1(workspace.records("corpus_units") / "v.parquet", [{"version": "v", "unit_id": "u"}])
    refresh_catalog(workspace)
    rows = query(workspace, "SELECT metric, round(value, 3), round(stderr, 3) FROM evaluations ORDER BY metric").rows
    assert rows == [("nats_per_token", 2.0, 0.1), ("perplexity", 7.389, 0.739)]
    assert query(workspace, "SELECT unit_id, documents_key FROM corpus_units").rows == [("u", None)]


def test_records_of_a_newer_format_are_refused(tmp_path):
    workspace = Workspace(tmp_path / "newer")
    path = workspace.records("models") / "m.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"model_id": ["m"]}).replace_schema_metadata({"neutral_residues_format": "99"}), path)
    with pytest.raises(InputError, match=r"format 99.*upgrade neutral-residues"):
        refresh_catalog(workspace)


def test_paired_differences_are_those_of_a_plain_computation(workspace):
    draw = np.random.default_rng(0)
    sizes = draw.integers(50, 150, 80).astype(float)
    base = sizes * draw.normal(2.0, 0.4, 80)
    runs = {"base": base, "lora": base - sizes * draw.normal(0.1, 0.05, 80)}
    for model, bits in runs.items():
        key = {"model_id": model, "step": 0 if model == "base" else 10, "eval_id": "n", "settings_hash": "s"}
        row = {**key, "metric": "bits_per_byte", "numerators": bits.tolist(), "denominators": sizes.tolist()}
        write_records(workspace, "evaluation_items", model, [row])
        write_records(workspace, "evaluations", f"{model}-2", [
            {**key, "metric": "bits_per_byte", "value": float(bits.sum() / sizes.sum()), "n": 80, "stderr": None}
        ])  # fmt: skip
    refresh_catalog(workspace)
    ((difference, low, high, n),) = query(
        workspace, "SELECT difference, low, high, n FROM paired_differences WHERE run_id = 'lora'"
    ).rows
    resampled = []
    for _ in range(2000):
        chosen = draw.integers(0, 80, 80)
        resampled.append((runs["lora"] - base)[chosen].sum() / sizes[chosen].sum())
    assert n == 80 and difference == pytest.approx((runs["lora"] - base).sum() / sizes.sum())
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(resampled), rel=0.1)


def test_the_error_of_a_mean_is_known_where_that_of_each_of_its_sets_is(workspace):
    def measure(eval_id: str, documents: int) -> None:
        for model, bits in (("base", [200.0, 220.0]), ("lora", [190.0, 200.0])):
            key = {"model_id": model, "step": 0 if model == "base" else 10, "eval_id": eval_id, "settings_hash": "s"}
            key["metric"] = "bits_per_byte"
            items = {"numerators": bits[:documents], "denominators": [100.0] * documents}
            write_records(workspace, "evaluation_items", f"{model}-{eval_id}", [{**key, **items}])
            write_records(workspace, "evaluations", f"{model}-{eval_id}", [{**key, "value": 2.0, "n": documents}])
        refresh_catalog(workspace)

    known = "learning_stderr IS NOT NULL, forgetting_stderr IS NOT NULL"
    sql = f"SELECT {known} FROM learning_vs_forgetting WHERE run_id = 'lora'"
    measure("n", 2)
    assert query(workspace, sql).rows == [(True, False)], "of English no document is on record"
    write_records(workspace, "eval_sets", "one", [{**SETS[0], "eval_id": "n1", "name": "one document"}])
    measure("n1", 1)
    assert query(workspace, sql).rows == [(False, False)], "half of a mean is no interval of it"


def test_lineage_has_one_row_a_file_and_its_byte_ranges(workspace, tmp_path):
    for key in ("k1", "k2"):  # the same file, read with two settings
        unit = {"unit_id": "u", "documents_key": key, "source": "crawl", "path": "/a.warc.gz", "status": "done"}
        write_records(workspace, "work_units", key, [unit])
    write_records(workspace, "corpus_units", "cn", [{"version": "cn", "unit_id": "u", "documents_key": "k2"}])
    write_records(workspace, "corpus_units", "co", [{"version": "co", "unit_id": "u"}])
    refresh_catalog(workspace)
    rows = query(workspace, "SELECT role, documents_key, path FROM lineage WHERE run_id = 'nr' ORDER BY role").rows
    assert rows == [("new", "k2", "/a.warc.gz"), ("original", "k1", "/a.warc.gz")]
    folder = workspace.selection("one")
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"unit_id": ["u", "v"], "first": [0, 2], "pages": [2, 1]}), folder / "units.parquet")
    ranges = {"warc_filename": ["a", "a", "b"], "warc_record_offset": [0, 9, 5], "warc_record_length": [9, 4, 7]}
    pq.write_table(pa.table(ranges), folder / "selection.parquet")
    found = query(workspace, f"FROM byte_ranges('{workspace.root}') WHERE unit_id = 'u' ORDER BY byte_offset").rows
    assert found == [("u", "a", 0, 9), ("u", "a", 9, 4)]


def test_a_run_scored_under_two_settings_stands_once_by_those_of_its_last_evaluation(workspace):
    for model, figures in {"base": (3.5, 2.5, 2.5), "lora": (3.4, 2.6, 2.7), "nr": (3.3, 2.5, 2.5)}.items():
        rows = [
            {"model_id": model, "step": 0 if model == "base" else 10, "eval_id": eval_id, "settings_hash": "later",
             "metric": "bits_per_byte", "value": value, "n": 20, "stderr": 0.01}
            for eval_id, value in zip(("n", "o1", "o2"), figures, strict=True)
        ]  # fmt: skip
        write_records(workspace, "evaluations", f"{model}-later", rows)
        if model == "lora":  # nr's last evaluation was by the first settings
            named = [{"run_id": model, "eval_id": row["eval_id"], "settings_hash": "later"} for row in rows]
            write_records(workspace, "run_eval_sets", model, named)
    refresh_catalog(workspace)
    sql = "SELECT run_id, settings_hash, round(learning, 3) FROM learning_vs_forgetting ORDER BY run_id"
    assert query(workspace, sql).rows == [("lora", "later", 0.1), ("nr", "later", 0.2)]
    named = [{"run_id": "nr", "eval_id": eval_id, "settings_hash": "s"} for eval_id in ("n", "o1", "o2")]
    write_records(workspace, "run_eval_sets", "nr", named)
    refresh_catalog(workspace)
    assert query(workspace, sql).rows == [("lora", "later", 0.1), ("nr", "s", 0.5)]
    assert query(workspace, "SELECT count(*), count(DISTINCT (run_id, eval_set)) FROM run_evaluations").rows == [(6, 6)]
    assert query(workspace, "SELECT max(seeds) FROM leaderboard").rows == [(1,)]

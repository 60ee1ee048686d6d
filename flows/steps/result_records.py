"""Records what the packages report, as rows of the record files (storage/schema.sql has the columns)."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nr_core.settings import MethodSettings, TrainingSettings, VocabularyRows
from pipelines.corpus.build import CorpusReport
from pipelines.sources.work_units import UnitReport
from storage.catalog import refresh_catalog
from storage.keys import hash_of
from storage.publish import read_manifest
from storage.records import write_records
from storage.workspace import Workspace

WORK_UNIT_COLUMNS = {
    "source",
    "kind",
    "path",
    "status",
    "attempts",
    "error",
    "records",
    "documents",
    "bytes",
    "seconds",
}


def record_units(workspace: Workspace, documents_key: str, reports: Sequence[UnitReport]) -> None:
    for unit in reports:
        scope = f"{documents_key}-{unit.unit_id}"
        key = {"unit_id": unit.unit_id, "documents_key": documents_key}
        row = {**key, **unit.model_dump(include=WORK_UNIT_COLUMNS)}
        write_records(workspace, "work_units", scope, [row])
        failures = [{**key, "path": unit.path, **failure} for failure in unit.failures]
        write_records(workspace, "fetch_failures", scope, failures)
        counted = {"scope": "documents", "scope_id": documents_key, "unit_id": unit.unit_id}
        funnel = [{**counted, **row} for row in unit.funnel]
        write_records(workspace, "funnel", f"documents-{scope}", funnel)
    refresh_catalog(workspace)


def record_corpus(workspace: Workspace, report: CorpusReport, settings: Mapping[str, Any]) -> None:
    row = {
        "version": report.version,
        "name": report.name,
        "language": report.language,
        "text_domain": report.text_domain,
        "parent_version": report.parent_version,
        "documents": report.documents,
        "characters": report.characters,
        "held_out_documents": report.held_out_documents,
        "settings": json.dumps(settings),
        "created": datetime.fromisoformat(report.created),
    }
    write_records(workspace, "corpora", report.version, [row])
    changes = {"version": report.version, "parent_version": report.parent_version, **report.changes.model_dump()}
    write_records(workspace, "corpus_changes", report.version, [changes])
    manifest = read_manifest(workspace.corpus_version(report.name, report.version)) or {"inputs": {}}
    taken = {"version": report.version, "documents_key": manifest["inputs"].get("documents_key")}
    units = [{**taken, "unit_id": unit_id} for unit_id in report.unit_ids]
    write_records(workspace, "corpus_units", report.version, units)
    funnel = [{"scope": "corpus", "scope_id": report.version, **row} for row in report.funnel]
    write_records(workspace, "funnel", f"corpus-{report.version}", funnel)
    set_id = eval_id(report.name, report.content_hash_held_out)
    eval_set = {
        "eval_id": set_id,
        "name": report.name,
        "language": report.language,
        "text_domain": report.text_domain,
        "corpus_version": report.version,
        "content_hash": report.content_hash_held_out,
    }
    if not (
        workspace.records("eval_sets") / f"{set_id}.parquet"
    ).exists():  # it belongs to the first version that had it
        write_records(workspace, "eval_sets", set_id, [eval_set])
    refresh_catalog(workspace)


def record_move(
    workspace: Workspace, corpus: str, before: str | None, version: str, action: str, reason: str | None = None
) -> None:
    """Record that a corpus's CURRENT was moved; nothing where it stays."""
    if before == version:
        return
    moved = now()
    row = {"corpus": corpus, "moved": moved, "version": version, "version_before": before}
    scope = f"{corpus}-{moved:%Y%m%dT%H%M%S%f}"
    write_records(workspace, "corpus_moves", scope, [{**row, "action": action, "reason": reason}])
    refresh_catalog(workspace)


def eval_id(corpus: str, content_hash_held_out: str) -> str:
    """Return the id of an evaluation set: a held-out split is one for as long as its text stays the same."""
    return hash_of(corpus, content_hash_held_out)


def record_task_set(
    workspace: Workspace,
    eval_id: str,
    name: str,
    language: str,
    text_domain: str,
    content_hash: str,
    chance: float | None = None,
    parallel_to: str | None = None,
) -> None:
    """Record a set that is no corpus's held-out split.

    It is a task, with what guessing gives on it if known, or a text, with the eval_id of the one it is parallel to.
    """
    row: dict[str, Any] = {"eval_id": eval_id, "name": name, "language": language, "text_domain": text_domain}
    row |= {"corpus_version": None, "content_hash": content_hash, "chance": chance, "parallel_to": parallel_to}
    write_records(workspace, "eval_sets", eval_id, [row])


def record_settings(workspace: Workspace, settings_hash: str, settings: Mapping[str, Any]) -> None:
    row = {"settings_hash": settings_hash, "settings": json.dumps(settings, sort_keys=True)}
    write_records(workspace, "evaluation_settings", settings_hash, [row])


def record_model(workspace: Workspace, model: Mapping[str, Any]) -> None:
    write_records(workspace, "models", str(model["model_id"]), [model])


def recorded_settings(
    method: MethodSettings,
    training: TrainingSettings,
    vocabulary: VocabularyRows = "full",
    teacher: str | None = None,
) -> str:
    """Return what runs.settings holds. teacher: the run that it was distilled from."""
    settings = {"method": method.model_dump(mode="json"), "training": training.model_dump(mode="json")}
    settings |= {} if vocabulary == "full" else {"base": {"vocabulary": vocabulary}}
    return json.dumps(settings if teacher is None else {**settings, "distil_from": teacher})


def are_recorded(
    settings: str,
    method: MethodSettings,
    training: TrainingSettings,
    vocabulary: VocabularyRows = "full",
    teacher: str | None = None,
) -> bool:
    """Tell whether what runs.settings holds of a run comes to the same result as these."""
    held = json.loads(settings)
    return (
        MethodSettings.model_validate(held["method"]).identity() == method.identity()
        and TrainingSettings.model_validate(held["training"]).identity() == training.identity()
        and held.get("base", {}).get("vocabulary", "full") == vocabulary
        and held.get("distil_from") == teacher
    )


def record_run(workspace: Workspace, run: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> None:
    """Record a run with its inputs; a failed one too, whose row the next attempt replaces."""
    run_id = str(run["run_id"])
    write_records(workspace, "runs", run_id, [run])
    write_records(workspace, "run_inputs", run_id, [{"run_id": run_id, **item} for item in inputs])


def record_training_steps(workspace: Workspace, run_id: str, steps: Path) -> None:
    rows = [{"run_id": run_id, **row} for row in pq.read_table(steps).to_pylist()]
    for row in rows:
        if "grad_norm" in row:
            row["gradient_norm"] = row.pop("grad_norm")
    write_records(workspace, "training_steps", run_id, rows)


def record_evaluation(
    workspace: Workspace, model_id: str, step: int, settings_hashes: Mapping[str, str], result: Mapping[str, Any]
) -> None:
    """Record what a job measured. settings_hashes: of each set's evaluation."""
    for set_id in {row["eval_id"] for row in result["metrics"]}:
        settings_hash = settings_hashes[set_id]
        key = {"model_id": model_id, "step": step, "settings_hash": settings_hash}
        metrics = [{**key, **row} for row in result["metrics"] if row["eval_id"] == set_id]
        items = [{**key, **row} for row in result["items"] if row["eval_id"] == set_id]
        write_records(workspace, "evaluation_items", evaluation_scope(model_id, set_id, settings_hash), items)
        gates = [{"model_id": model_id, **row} for row in result["gate_activity"] if row["eval_id"] == set_id]
        write_records(workspace, "gate_activity", f"{model_id}-{set_id}", gates)
        write_records(workspace, "evaluations", evaluation_scope(model_id, set_id, settings_hash), metrics)


def name_eval_sets(workspace: Workspace, run_id: str, settings_hashes: Mapping[str, str | None]) -> None:
    """Record the sets of a run's last evaluation, each with the hash of its settings: what the views show of it."""
    rows = [{"run_id": run_id, "eval_id": one, "settings_hash": hashed} for one, hashed in settings_hashes.items()]
    write_records(workspace, "run_eval_sets", run_id, sorted(rows, key=lambda row: row["eval_id"]))


def keep_eval_sets(workspace: Workspace, run_id: str, settings_hashes: Mapping[str, str]) -> None:
    """Let further sets into the views, beside those that the run's config named."""
    path = workspace.records("run_eval_sets") / f"{run_id}.parquet"
    if path.exists():  # else every set that was measured counts
        named = {row["eval_id"]: row.get("settings_hash") for row in pq.read_table(path).to_pylist()}
        name_eval_sets(workspace, run_id, named | dict(settings_hashes))


def evaluation_scope(model_id: str, set_id: str, settings_hash: str) -> str:
    """Return the name of the record file of one model on one set; where it stands, the evaluation is done."""
    return f"{model_id}-{set_id}-{settings_hash}"


def now() -> datetime:
    return datetime.now(UTC)

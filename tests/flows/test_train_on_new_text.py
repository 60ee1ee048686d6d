"""What a refresh leads to: whether enough is new, what is trained from which run, and backfill over snapshots."""

from datetime import UTC, datetime

import pytest

from flows.backfill import in_order, of_snapshot
from flows.config.study import parse_config
from flows.steps.base import PreparedBase
from flows.train_on_new_text import new_characters, steps
from nr_core.settings import BaseSpec
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.records import write_records
from storage.workspace import Workspace

BASE = PreparedBase(model_id="base", spec=BaseSpec(model="some/model"))


def corpus(workspace, name, version, characters):
    row = {"version": version, "name": name, "characters": characters, "created": datetime.now(UTC)}
    write_records(workspace, "corpora", version, [row])


def run(workspace, run_id, method, day, **inputs):
    row = {"run_id": run_id, "name": method, "base_model_id": "base", "seed": 0, "status": "done"}
    write_records(workspace, "runs", run_id, [{**row, "created": datetime(2026, 11, day, tzinfo=UTC)}])
    rows = [{"run_id": run_id, "corpus_version": version, "role": role} for role, version in inputs.items()]
    write_records(workspace, "run_inputs", run_id, rows)


@pytest.fixture
def config(tmp_path):
    workspace = Workspace(tmp_path)
    for version, characters in (("f1", 100), ("f2", 150), ("f3", 400)):
        corpus(workspace, "french", version, characters)
    corpus(workspace, "english", "e1", 1000)
    run(workspace, "older", "lora", 1, new="f1", original="e1")
    run(workspace, "newer", "lora", 2, new="f2", original="e1")
    refresh_catalog(workspace)
    text = {"kind": "warc", "paths": ["x"]}
    corpora = {
        name: {"language": language, "text_domain": "web", "sources": ["s"]}
        for name, language in (("french", "fra"), ("english", "eng"))
    }
    inputs = [
        {"corpus": "french", "role": "new", "share": 0.9},
        {"corpus": "english", "role": "original", "share": 0.1},
    ]
    values = {"language": "fra", "sources": {"s": text}, "corpora": corpora, "inputs": inputs}
    methods = [{"method": "lora"}, {"method": "finetune"}]
    return parse_config({**values, "methods": methods, "workspace": str(tmp_path)}, "test")


def test_new_text_is_what_came_since_the_last_run(config):
    assert new_characters(config, {"french": "f3", "english": "e1"}, BASE) == 250
    assert new_characters(config, {"french": "f1", "english": "e1"}, BASE) == 0  # rolled back
    other = PreparedBase(model_id="another", spec=BASE.spec)
    assert new_characters(config, {"french": "f3", "english": "e1"}, other) == 400


def test_each_method_goes_on_from_its_own_last_run_or_all_start_afresh(config):
    assert [(step.methods[0].label, step.start_from) for step in steps(config, BASE)] == [
        ("lora", "newer"),
        ("finetune", None),
    ]
    afresh = config.model_copy(update={"after_refresh": config.after_refresh.model_copy(update={"start": "afresh"})})
    assert list(steps(afresh, BASE)) == [afresh]


def test_backfill_goes_through_snapshots_oldest_first(config):
    assert in_order(["CC-MAIN-2026-43", "CC-MAIN-2025-51", "CC-MAIN-2026-43"]) == ["CC-MAIN-2025-51", "CC-MAIN-2026-43"]
    with pytest.raises(InputError, match="`crawls` is empty"):
        in_order([])
    with pytest.raises(InputError, match="nothing to backfill"):
        of_snapshot(config, "CC-MAIN-2026-43")
    sources = {**config.sources, "crawl": {"kind": "common_crawl", "crawl": "latest", "files": 3}}
    with_crawl = parse_config({**config.model_dump(mode="json", exclude_unset=True), "sources": sources}, "test")
    at_snapshot = of_snapshot(with_crawl, "CC-MAIN-2026-43")
    assert at_snapshot.sources["crawl"].crawl == "CC-MAIN-2026-43"
    assert at_snapshot.sources["s"] == config.sources["s"] and at_snapshot.corpora == config.corpora
    with pytest.raises(InputError, match="crawl"):
        of_snapshot(with_crawl, "../2026")

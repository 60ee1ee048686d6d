"""The same corpus from processes of this machine and from a cluster's workers, with a unit that fails among many."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.config import Resources
from flows.data_refresh import MOST_BATCHES, batches
from pipelines.work_units import WorkUnit
from storage.query import query
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, prose

UNITS = 50
CORPORA = """SELECT c.name, c.version, c.documents, c.characters, e.content_hash FROM corpora c
JOIN eval_sets e USING (name) ORDER BY ALL"""
OUTCOMES = "SELECT unit_id, status, documents, error IS NULL FROM work_units ORDER BY ALL"


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(UNITS):
        (folder / f"{number:02d}.jsonl").write_text(json.dumps({"text": prose(ENGLISH, number)}) + "\n")
    (folder / "broken.parquet").write_bytes(b"PAR1, and then nothing that Parquet has")
    source = {"kind": "text", "paths": [f"{folder}/*"]}
    corpus = {"language": "eng", "text_domain": "any", "sources": ["texts"], "split_by": "document"}
    corpora = {"english": {**corpus, "min_characters": 1, "min_language_score": 0.0, "held_out_min_documents": 2}}
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(yaml.safe_dump({"language": "eng", "sources": {"texts": source}, "corpora": corpora}))
    return path


def refresh(config: Path, folder: Path, *overrides: str):
    workspace = folder / overrides[0].replace("=", "-")
    chosen = [f"workspace={workspace}", "resources.workers=2", *overrides]
    options = [part for override in chosen for part in ("--set", override)]
    command = [sys.executable, "-c", "from flows.cli import main; main()", "refresh", str(config), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return [query(Workspace(workspace), sql).rows for sql in (CORPORA, OUTCOMES)]


@pytest.mark.deployment
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_gives_the_same_corpus(config, tmp_path, runner):
    if importlib.util.find_spec(f"prefect_{runner}") is None:
        pytest.skip(f"the extra `{runner}` is not installed")
    corpora, outcomes = refresh(config, tmp_path, "resources.runner=processes")
    assert corpora[0][0] == "english" and corpora[0][2] > 20
    assert len(outcomes) == UNITS + 1 and [row[1] for row in outcomes].count("failed") == 1
    assert refresh(config, tmp_path, f"resources.runner={runner}") == [corpora, outcomes]


@pytest.mark.parametrize("workers", [1, 16, 64])
@pytest.mark.parametrize("units", [0, 1, 50, 10_000, 90_000])
def test_no_flow_run_has_more_task_runs_than_prefect_bears(units, workers):
    listed = [WorkUnit(str(number), "s", "warc", "", 0, {}) for number in range(units)]
    parts = batches(listed, workers)
    assert [unit for part in parts for unit in part] == listed
    # Beside these: selecting, looking at the ledger, a task a corpus, the checks, the end; then training and figures.
    assert len(parts) <= MOST_BATCHES < 200 - 50


def test_an_address_without_a_cluster_is_refused():
    with pytest.raises(ValueError, match="set `runner` to dask or ray"):
        Resources(address="tcp://host:8786")

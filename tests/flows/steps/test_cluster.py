"""The same corpus from processes of this machine and from a cluster's workers, with a unit that fails among many."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.config.resources import Resources
from flows.data_refresh import MOST_BATCHES, batches
from pipelines.sources.work_units import WorkUnit
from storage.query import query
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, prose

UNITS = 50
CORPORA = """SELECT c.name, c.version, c.documents, c.characters, e.content_hash FROM corpora c
JOIN eval_sets e USING (name) ORDER BY ALL"""
OUTCOMES = "SELECT unit_id, status, documents, error IS NULL FROM work_units ORDER BY ALL"


@pytest.fixture(scope="module")
def config(tmp_path_factory, prefect_home) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(UNITS):
        (folder / f"{number:02d}.jsonl").write_text(json.dumps({"text": prose(ENGLISH, number)}) + "\n")
    (folder / "broken.parquet").write_bytes(b"PAR1, and then nothing that Parquet has")
    source = {"kind": "text", "paths": [f"{folder}/*"]}
    corpus = {"language": "eng", "text_domain": "any", "sources": ["texts"], "split_by": "document"}
    corpora = {"english": {**corpus, "min_characters": 1, "min_language_score": 0.0, "held_out_min_documents": 2}}
    prefect_home(folder.parent / "prefect")
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(yaml.safe_dump({"language": "eng", "sources": {"texts": source}, "corpora": corpora}))
    return path


# Few documents are worth it here. From a million on, the joins of the bands go to a cluster.
WITH_JOINS = "import flows.config.resources; flows.config.resources.WORTH_SENDING = 1; "


def refresh(config: Path, folder: Path, *overrides: str, before: str = "", output: list[str] | None = None):
    folder.mkdir()
    chosen = ["workspace=workspace", "resources.workers=2", *overrides]
    options = [part for override in chosen for part in ("--set", override)]
    command = [sys.executable, "-c", f"{before}from flows.cli import main; main()", "refresh", str(config), *options]
    # One database for all; and each line, also where Ray finds them alike.
    settings = {"PREFECT_HOME": str(config.parent / "prefect"), "RAY_DEDUP_LOGS": "0"}
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    if output is not None:
        output.append(done.stdout + done.stderr)
    return [query(Workspace(folder / "workspace"), sql).rows for sql in (CORPORA, OUTCOMES)]


@pytest.fixture(scope="module")
def by_processes(config, tmp_path_factory):
    return refresh(config, tmp_path_factory.mktemp("by") / "processes", "resources.runner=processes")


@pytest.mark.server
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_gives_the_same_corpus(config, tmp_path, by_processes, runner):
    if importlib.util.find_spec(f"prefect_{runner}") is None:
        pytest.skip(f"the extra `{runner}` is not installed")
    corpora, outcomes = by_processes
    assert corpora[0][0] == "english" and corpora[0][2] > 20
    assert len(outcomes) == UNITS + 1 and [row[1] for row in outcomes].count("failed") == 1
    output: list[str] = []
    found = refresh(config, tmp_path / runner, f"resources.runner={runner}", before=WITH_JOINS, output=output)
    assert found == [corpora, outcomes]
    assert "Task run 'run_job-" in output[0]  # what came from all workers before they ended: Ray loses the last lines


@pytest.mark.server
def test_workers_that_share_no_disk_bring_their_documents_by_the_bucket(config, tmp_path, by_processes):
    from distributed import LocalCluster

    (elsewhere := tmp_path / "elsewhere").mkdir()  # the workspace is a relative path, and the worker has another folder
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        with subprocess.Popen([*command, "--nthreads", "1", "--no-dashboard"], cwd=elsewhere) as worker:
            try:
                address, bucket = f"resources.address={cluster.scheduler_address}", f"bucket=file://{tmp_path}/bucket"
                assert refresh(config, tmp_path / "flow", "resources.runner=dask", address, bucket) == by_processes
            finally:
                worker.terminate()
    read = {path.name: path for path in (elsewhere / "workspace").glob("documents/*/*.parquet")}
    brought = {path.name: path for path in (tmp_path / "flow" / "workspace").glob("documents/*/*.parquet")}
    assert len(read) == UNITS and read.keys() == brought.keys()
    assert all(read[name].read_bytes() == brought[name].read_bytes() for name in read)


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

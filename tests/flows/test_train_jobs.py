"""What the flow train gives `python -m nr_core`."""

from pathlib import Path

from flows.config.study import parse_config
from flows.steps.base import PreparedBase
from flows.steps.progress import Progress
from flows.train import _jobs, planned_runs
from nr_core.settings import BaseSpec
from nr_core.specs import Windows
from storage.workspace import Workspace
from tests.flows.config.test_config import SMALL


def test_a_run_that_cannot_be_is_told_and_hides_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.train.ensure_tokens", lambda *given: Path("/tokens") / given[2])  # read by no job here
    methods = [{"method": "lora"}, {"method": "lora", "name": "near", "kl_to_base": 1.0}]
    inputs = [{"corpus": "french", "role": "new", "share": 1.0}, {"corpus": "english", "role": "original", "share": 0}]
    values = {**SMALL, "workspace": str(tmp_path), "methods": methods, "inputs": inputs}
    config = parse_config(values, "my.yaml")
    base = PreparedBase(model_id="b", spec=BaseSpec(model="some/model"))
    runs = planned_runs(config, {"french": "f", "english": "e"}, base)
    jobs, errors = _jobs(runs, config, base, Workspace(tmp_path), Progress(print))
    assert [job.label for job in jobs] == ["lora seed 0"]
    assert [item.tokens for item in jobs[0].spec.inputs] == [Path("/tokens/f/train"), Path("/tokens/e/train")]
    assert list(errors) == ["near seed 0"]
    assert errors["near seed 0"].startswith("method.kl_to_base: the divergence is taken on original-language text")


def test_a_bound_on_forgetting_is_measured_in_the_windows_of_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.train.ensure_tokens", lambda *given: Path("/tokens") / given[2])  # read by no job here
    methods = [{"method": "neutral_residues", "max_forgetting": 0.01}, {"method": "lora"}]
    base = PreparedBase(model_id="b", spec=BaseSpec(model="some/model"))
    versions = {"french": "f", "english": "e"}
    ids, windows = [], []
    for evaluation in ({}, {"sequence_length": 64, "stride": 32}):
        values = {**SMALL, "workspace": str(tmp_path), "methods": methods, "evaluation": evaluation}
        config = parse_config(values, "my.yaml")
        runs = planned_runs(config, versions, base)
        jobs, errors = _jobs(runs, config, base, Workspace(tmp_path), Progress(print))
        assert not errors
        ids.append([run.run_id for run in runs])
        windows.append([job.spec.forgetting_windows for job in jobs])
    assert windows == [[None, None], [Windows(sequence_length=64, stride=32), None]]
    assert ids[0][0] != ids[1][0] and ids[0][1] == ids[1][1]

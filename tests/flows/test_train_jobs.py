"""What the flow train gives `python -m nr_core`."""

from pathlib import Path

from flows.config.study import parse_config
from flows.steps.base import PreparedBase
from flows.steps.progress import Progress
from flows.train import _jobs, planned_runs
from nr_core.settings import BaseSpec
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

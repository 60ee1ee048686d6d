"""Text that a base writes: made once, its time kept where it was written at one go."""

import json
from pathlib import Path

import pytest

from flows.config.resources import Resources
from flows.config.runs import OwnText
from flows.steps import own_text as own_text_step
from flows.steps.own_text import ensure_own_text
from flows.steps.progress import Progress
from nr_core.settings import BaseSpec
from storage.errors import InputError
from storage.publish import read_manifest
from storage.workspace import Workspace


def test_the_base_writes_once_and_its_time_is_kept_unless_it_was_cut_off(tmp_path, monkeypatch):
    results = [{"text of the base": "killed"}, {}, {}]  # of the jobs, one after the other

    def run_jobs(command, jobs, *rest, **options):  # the job wants a model: tests/nr_core/text has it
        out = Path(jobs[0].spec.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "tokens.json").write_text(json.dumps({"documents": 1, "tokens": 8, "bytes": 30}))
        return results.pop(0)

    monkeypatch.setattr(own_text_step, "run_jobs", run_jobs)

    def write(seed):
        item = OwnText(from_="base", role="original", share=0.5, seed=seed)
        with Progress(print) as progress:
            out = ensure_own_text(Workspace(tmp_path), item, "model", BaseSpec(model="x"), progress, Resources())
        return set((read_manifest(Path(out).parent) or {})["counts"])

    with pytest.raises(InputError, match="killed"):
        write(seed=0)
    assert write(seed=0) == {"train"}
    assert write(seed=1) == write(seed=1) == {"train", "seconds"}
    assert not results

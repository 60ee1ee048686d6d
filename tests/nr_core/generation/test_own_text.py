"""Replay that a base writes itself."""

import json
from types import SimpleNamespace

import pytest
import torch

from nr_core.errors import ModelError
from nr_core.generation import own_text
from nr_core.generation.own_text import sample_text
from nr_core.settings import BaseSpec


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_again_also_after_being_cut_off(world, tmp_path):
    base = BaseSpec(model=str(world.base))
    told = []
    sample_text(base, tmp_path / "a.jsonl", 40, 12, on_progress=lambda done, total: told.append((done, total)))
    rows = read(tmp_path / "a.jsonl")
    assert len(rows) == len({row["id"] for row in rows}) == 40
    assert all(row["text"].strip() for row in rows) and len({row["text"] for row in rows}) > 30
    assert told[-1] == (40, 40)

    class Killed(Exception):
        pass

    def kill(done, total):
        raise Killed

    with pytest.raises(Killed):
        sample_text(base, tmp_path / "b.jsonl", 40, 12, on_progress=kill)
    (partial,) = tmp_path.glob(".partial-*")
    with open(partial, "a") as file:
        file.write('[{"id": "half a li')
    sample_text(base, tmp_path / "b.jsonl", 40, 12)
    assert read(tmp_path / "b.jsonl") == rows
    sample_text(base, tmp_path / "c.jsonl", 40, 12, seed=1)
    assert read(tmp_path / "c.jsonl") != rows
    assert not list(tmp_path.glob(".partial*"))


def test_a_file_that_stands_is_not_overwritten(world, tmp_path):
    (tmp_path / "a.jsonl").write_text("mine")
    with pytest.raises(ModelError, match="exists; give another file"):
        sample_text(BaseSpec(model=str(world.base)), tmp_path / "a.jsonl", 1, 4)


def test_it_looks_like_what_the_base_was_trained_on(world, tmp_path):
    sample_text(BaseSpec(model=str(world.base)), tmp_path / "a.jsonl", 16, 24)
    text = " ".join(row["text"] for row in read(tmp_path / "a.jsonl"))
    assert sum(syllable in text for syllable in ("ba", "ke", "mi", "so", "tu", "ran")) >= 3


def test_a_base_of_nan_writes_nothing(world, tmp_path, monkeypatch):
    plain = own_text.load_base

    def damaged(base):
        model = plain(base)
        model.lm_head.weight = torch.nn.Parameter(torch.full_like(model.lm_head.weight, torch.nan))
        return model

    monkeypatch.setattr(own_text, "load_base", damaged)
    with pytest.raises(ModelError, match="puts out NaN"):
        sample_text(BaseSpec(model=str(world.base)), tmp_path / "a.jsonl", 4, 8)


def test_a_model_that_keeps_no_cache_writes_the_same(world, tmp_path, monkeypatch):
    base = BaseSpec(model=str(world.base))
    sample_text(base, tmp_path / "with.jsonl", 12, 9)
    plain = own_text.load_base

    def without_cache(spec):
        model = plain(spec)
        model.register_forward_pre_hook(lambda _, args, given: (args, given | {"use_cache": False}), with_kwargs=True)
        model.register_forward_hook(lambda _, args, output: SimpleNamespace(logits=output.logits))
        return model

    monkeypatch.setattr(own_text, "load_base", without_cache)
    sample_text(base, tmp_path / "without.jsonl", 12, 9)
    assert len(read(tmp_path / "without.jsonl")) == 12
    assert read(tmp_path / "without.jsonl")[0] == read(tmp_path / "with.jsonl")[0]

"""Replay that a base writes itself."""

import json

import pytest

from nr_core.errors import ModelError
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

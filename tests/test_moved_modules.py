"""Modules are found under the names that they had before the packages were regrouped."""

import importlib
import runpy
from importlib.util import find_spec

import pytest

import flows.moved
import nr_core.moved
import pipelines.moved
import storage.moved

MOVED = {**flows.moved.MOVED, **nr_core.moved.MOVED, **pipelines.moved.MOVED, **storage.moved.MOVED}


def test_each_leads_to_a_module_that_is_there():
    assert [new for new in MOVED.values() if find_spec(new) is None] == []


@pytest.mark.parametrize(
    "old", ["pipelines.read_warc", "nr_core.sites", "nr_core.tasks.items", "flows.table", "storage.atomic"]
)
def test_an_old_name_is_the_same_module(old):
    new = importlib.import_module(MOVED[old])
    with pytest.warns(DeprecationWarning, match=MOVED[old]):
        moved = importlib.import_module(old)
    assert moved is new
    assert new.__spec__.name == MOVED[old]


@pytest.mark.parametrize("old", ["pipelines.worker", "nr_core.token_pieces"])
def test_python_runs_a_module_by_its_old_name(old):
    assert "main" in runpy.run_module(old, run_name="not_main", alter_sys=True)

"""Modules are found under the names that they had before the packages were regrouped."""

import importlib
import runpy
from importlib.util import find_spec

import pytest

from flows import former_names as of_flows
from nr_core import former_names as of_nr_core
from pipelines import former_names as of_pipelines
from storage import former_names as of_storage

FORMER_NAMES = {
    old: new for of in (of_flows, of_nr_core, of_pipelines, of_storage) for old, new in of.FORMER_NAMES.items()
}


def test_each_leads_to_a_module_that_is_there():
    assert [new for new in FORMER_NAMES.values() if find_spec(new) is None] == []


@pytest.mark.parametrize(
    "old", ["pipelines.read_warc", "nr_core.sites", "nr_core.tasks.items", "flows.table", "storage.atomic"]
)
def test_an_old_name_is_the_same_module(old):
    new = importlib.import_module(FORMER_NAMES[old])
    with pytest.warns(DeprecationWarning, match=FORMER_NAMES[old]):
        moved = importlib.import_module(old)
    assert moved is new
    assert new.__spec__.name == FORMER_NAMES[old]


def test_what_reading_a_file_may_yield_is_had_with_the_function():
    names = vars(importlib.import_module("pipelines.pages.warc"))
    assert {"Capture", "ReadFailure", "read_warc"} <= names.keys()


@pytest.mark.parametrize("old", ["pipelines.worker", "nr_core.token_pieces"])
def test_python_runs_a_module_by_its_old_name(old):
    assert "main" in runpy.run_module(old, run_name="not_main", alter_sys=True)

"""Prefect puts the folder of a flow's file in front of sys.path, for good: a module there hides any of its name."""

import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

import flows

MODULES = {path.stem for path in Path(flows.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir()}


def test_no_module_of_flows_hides_one_of_the_standard_library():
    assert not MODULES & sys.stdlib_module_names


def test_no_module_of_flows_hides_one_that_this_project_needs():
    needed = {Requirement(text).name.lower() for text in requires("neutral-residues") or []}
    theirs = {name for name, owners in packages_distributions().items() if needed & {owner.lower() for owner in owners}}
    assert {"torch", "peft"} <= theirs
    assert not MODULES & theirs

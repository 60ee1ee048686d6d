"""A base that the user gives: how it is named from then on."""

import shutil

from flows.steps.base import find_given
from nr_core.settings import BaseSpec
from storage.workspace import Workspace
from tests.nr_core.conftest import world  # noqa: F401  (fixture)


def test_a_folder_is_kept_by_its_whole_path(world, tmp_path, monkeypatch):  # noqa: F811
    """A run and its card name the base, and are read from other folders."""
    shutil.copytree(world.base, tmp_path / "bases" / "mine")
    monkeypatch.chdir(tmp_path)
    found = find_given(BaseSpec(model="bases/mine"), Workspace(tmp_path / "workspace"))
    assert found.spec.model == str(tmp_path / "bases" / "mine")

"""No stage's source changes without a decision on its version."""

import sys

import pytest

from tests import stage_versions


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="fingerprints are of Python 3.11's unparser")
def test_each_stage_is_as_recorded():
    assert stage_versions.changed() == {}


def test_only_code_counts(tmp_path):
    file, moved = tmp_path / "a.py", tmp_path / "b.py"
    file.write_text('"""Doc."""\nimport os\n\n\ndef f():\n    """Says."""\n    return os.name  # why\n')
    moved.write_text("from os import name\nimport os\n\ndef f():\n    return os.name\n")
    assert stage_versions.code(file) == stage_versions.code(moved)
    moved.write_text("import os\n\ndef f():\n    return os.sep\n")
    assert stage_versions.code(file) != stage_versions.code(moved)


def test_what_a_stage_imports_is_of_a_stage_or_bears_on_no_result():
    assert stage_versions.in_no_stage() == {}


def test_each_pattern_finds_files():
    patterns = [pattern for _, patterns in stage_versions.STAGES.values() for pattern in patterns]
    root = stage_versions.REPOSITORY
    assert [pattern for pattern in (*patterns, *stage_versions.BESIDE) if not any(root.glob(pattern))] == []

"""No stage's source changes without a decision on its version."""

import sys
from pathlib import Path

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


def test_each_pattern_finds_files():
    missing = [
        pattern
        for _, patterns in stage_versions.STAGES.values()
        for pattern in patterns
        if not any(Path(stage_versions.REPOSITORY).glob(pattern))
    ]
    assert missing == []

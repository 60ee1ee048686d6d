"""A full disk, for real: a sentence, nothing torn, and the same command completes once there is space."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.publish import is_done
from storage.query import query
from storage.workspace import Workspace

TINY = Path(__file__).parents[1] / "tiny.yaml"
COMMAND = [sys.executable, "-c", "from flows.cli import main; main()"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, which the tests may enlarge."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is refused here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def refresh(workspace: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "refresh", str(TINY), "--set", f"workspace={workspace}", "--set", "resources.min_free_gb=0"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.server
def test_a_full_disk_is_said_and_what_was_whole_stays(small_disk, tmp_path, prefect_home):
    prefect_home(tmp_path / ".prefect")
    workspace = small_disk / "workspace"
    full = refresh(workspace, tmp_path)
    assert full.returncode == 2
    assert "No space left on device" in full.stderr.splitlines()[-1] or "disk is full" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    again = refresh(workspace, tmp_path)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    corpora = query(Workspace(workspace), "SELECT name, version FROM corpora").rows
    assert len(corpora) == 3 and all(is_done(Workspace(workspace).corpus_version(*corpus)) for corpus in corpora)
    assert not list(workspace.rglob("*.partial"))

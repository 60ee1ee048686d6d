"""Flow data-refresh where a server is down for a while: what failed is tried again alone."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import yaml

from storage.query import query
from storage.workspace import Workspace
from tests.pipelines.loopback import serving
from tests.pipelines.warc_files import ENGLISH, Page, html, prose, warc_bytes

# One process, so that Prefect's temporary server starts once.
PROGRAM = """
import os, sys
from pathlib import Path
from flows.server import environment
os.environ |= environment(Path(".prefect"))
from flows.cli.study import start_server
start_server(Path(".prefect"))
from flows.config import load_config
from flows.data_refresh import data_refresh
data_refresh(load_config("first.yaml"))
input()
data_refresh(load_config("second.yaml"), only_failed=True)
"""
UNITS = "SELECT regexp_extract(path, '[a-z]+.warc.gz'), status, attempts FROM work_units ORDER BY ALL"


def test_what_failed_is_tried_again_alone(tmp_path, language_model):
    names = ("one", "two", "three")
    files = {
        f"{name}.warc.gz": warc_bytes(
            [
                Page(html(prose(ENGLISH, 20 * start + seed)), f"https://example.org/{start}-{seed}")
                for seed in range(20)
            ],
            20 * start,
        )[0]
        for start, name in enumerate(names)
    }
    with serving(files) as server:
        corpus = {"language": "eng", "text_domain": "web", "sources": ["web"], "split_by": "document"}
        for config, of in (("first", names[:2]), ("second", names)):
            paths = [f"{server.url}/{name}.warc.gz" for name in of]
            content = {
                "language": "eng",
                "workspace": "workspace",
                "documents": {"language_model": str(language_model)},
                "sources": {"web": {"kind": "warc", "paths": paths}},
                "corpora": {"english": {**corpus, "min_characters": 1, "held_out_min_documents": 1}},
                "fetch": {"attempts": 2, "first_wait_seconds": 0.01},
                "resources": {"workers": 1},
            }
            (tmp_path / f"{config}.yaml").write_text(yaml.safe_dump(content))
        server.script["two.warc.gz"] = ["none", *["unavailable"] * 50]  # it tells its size, and no more
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as flows:
            said = ""
            for line in flows.stdout:
                said += line
                if "Finished in state" in line and "Flow run" in line:
                    break
            workspace = Workspace(tmp_path / "workspace")
            assert query(workspace, UNITS).rows == [("one.warc.gz", "done", 1), ("two.warc.gz", "failed", 1)], said
            server.script.clear()
            said += flows.communicate("\n", timeout=200)[0]
        assert flows.returncode == 0, said
    assert query(workspace, UNITS).rows == [("one.warc.gz", "done", 1), ("two.warc.gz", "done", 2)]
    assert query(workspace, "SELECT documents FROM corpora ORDER BY created").rows == [(20,), (40,)]
    with closing(sqlite3.connect(tmp_path / ".prefect" / "prefect.db")) as database:
        bars = database.execute("SELECT key, data FROM artifact WHERE type = 'progress'").fetchall()
    assert ("reading", 100) in bars

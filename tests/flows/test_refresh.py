"""Flow data-refresh where a server is down for a while: what failed is tried again alone."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import yaml

from flows.data_refresh import in_neither_split
from pipelines.corpus.summary import CorpusChanges, CorpusReport
from pipelines.settings import CorpusSettings
from storage.query import query
from storage.workspace import Workspace
from tests.pipelines.loopback import serving
from tests.pipelines.warc_files import ENGLISH, Page, html, prose, warc_bytes

# One process, so that Prefect's temporary server starts once.
PROGRAM = """
import os, sys
from pathlib import Path
from flows.services.server import environment
os.environ |= environment(Path(".prefect"))
from flows.cli.study import start_server
start_server(Path(".prefect"))
from flows.config.study import load_config
from flows.data_refresh import data_refresh
data_refresh(load_config("first.yaml"))
input()
data_refresh(load_config("second.yaml"), only_failed=True)
"""
COMMANDS = """
import sys
from flows.cli import main
for config in sys.argv[1:]:
    sys.argv = ["nr", "refresh", config]
    try:
        main()
    except SystemExit as ended:
        sys.stderr.flush()
        print("\\nENDED WITH", ended.code, flush=True)
"""
CORPUS = {
    "language": "eng",
    "text_domain": "web",
    "sources": ["web"],
    "split_by": "document",
    "min_characters": 1,
    "held_out_min_documents": 1,
}
UNITS = "SELECT regexp_extract(path, '[a-z]+.warc.gz'), status, attempts FROM work_units ORDER BY ALL"


@pytest.mark.server
def test_what_opens_an_address_is_in_nothing_that_is_kept_or_said(tmp_path, language_model, prefect_home):
    """A signature and a password in a source's addresses; signed anew, a file is the same and is not read again."""
    prefect_home(tmp_path / ".prefect")
    pages = [Page(html(prose(ENGLISH, seed)), f"https://example.org/{seed}") for seed in range(24)]
    archives = [warc_bytes(pages[:12])[0], warc_bytes(pages[12:], 12)[0]]
    files = {f"a.warc.gz?part=1&X-Amz-Signature=canary-{number}": archives[0] for number in (1, 2)}
    with serving(files | {"b.warc.gz": archives[1]}) as server:

        def signed(number):
            return f"{server.url}/a.warc.gz?part=1&X-Amz-Signature=canary-{number}"

        with_password = server.url.replace("://", "://me:canary-3@") + "/b.warc.gz"
        sources = {
            # Nobody listens there: what the library says of it names the whole address.
            "refused.yaml": ["http://127.0.0.1:9/c.warc.gz?part=2&X-Amz-Signature=canary-4"],
            "first.yaml": [signed(1), with_password],
            "again.yaml": [signed(2), with_password],
        }
        for name, paths in sources.items():
            content = {
                "language": "eng",
                "documents": {"language_model": str(language_model)},
                "sources": {"web": {"kind": "warc", "paths": paths}},
                "corpora": {"english": CORPUS},
                "fetch": {"attempts": 1},
            }
            (tmp_path / name).write_text(yaml.safe_dump(content))
        told = subprocess.run(
            [sys.executable, "-c", COMMANDS, *sources],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout
        for name in sources:
            (tmp_path / name).unlink()
        assert "canary" not in told
        said = told.splitlines()
        ends = [number for number, line in enumerate(said) if line.startswith("ENDED WITH ")]
        assert [said[end].split()[-1] for end in ends] == ["2", "0", "0"], told
        assert "http://127.0.0.1:9/c.warc.gz?part=2 could not be fetched: NewConn" in "".join(said[: ends[0]])
        assert "nothing is new" in "".join(said[ends[1] : ends[2]])
        paths = query(Workspace(tmp_path / "workspace"), "SELECT path FROM work_units ORDER BY ALL").rows
        assert paths == [(f"{server.url}/a.warc.gz?part=1",), (f"{server.url}/b.warc.gz",)]
        said = {request.authorization for request in server.requests if request.path == "b.warc.gz"}
        assert said == {"Basic bWU6Y2FuYXJ5LTM="}
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert (tmp_path / ".prefect").is_dir() and not holding


@pytest.mark.server
def test_what_failed_is_tried_again_alone(tmp_path, language_model, prefect_home):
    prefect_home(tmp_path / ".prefect")
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
        for config, of in (("first", names[:2]), ("second", names)):
            paths = [f"{server.url}/{name}.warc.gz" for name in of]
            content = {
                "language": "eng",
                "workspace": "workspace",
                "documents": {"language_model": str(language_model)},
                "sources": {"web": {"kind": "warc", "paths": paths}},
                "corpora": {"english": CORPUS},
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
            assert workspace.catalog.exists(), said
            assert query(workspace, UNITS).rows == [("one.warc.gz", "done", 1), ("two.warc.gz", "failed", 1)], said
            server.script.clear()
            said += flows.communicate("\n", timeout=200)[0]
        assert flows.returncode == 0, said
    assert query(workspace, UNITS).rows == [("one.warc.gz", "done", 1), ("two.warc.gz", "done", 2)]
    assert query(workspace, "SELECT documents FROM corpora ORDER BY created").rows == [(20,), (40,)]
    with closing(sqlite3.connect(tmp_path / ".prefect" / "prefect.db")) as database:
        bars = database.execute("SELECT key, data FROM artifact WHERE type = 'progress'").fetchall()
    assert ("reading", 100) in bars


def test_what_a_held_out_side_costs_is_said_beforehand_and_where_it_is_much():
    settings = CorpusSettings(language="eng", text_domain="x", sources=["s"], split_by="host", held_out_share=0.05)
    facts = {"version": "v", "name": "c", "language": "eng", "text_domain": "x", "characters": 1, "repeats": 0,
             "unit_ids": [], "content_hash_held_out": "h", "created": "2031", "reused": False,
             "held_out_documents": 20}  # fmt: skip
    changes = CorpusChanges(**dict.fromkeys(CorpusChanges.model_fields, 0))

    def said(parent, documents, lost):
        funnel = [{"reason": "held_out_group", "documents": lost}, {"reason": "kept", "documents": documents}]
        report = CorpusReport(**facts, parent_version=parent, documents=documents, funnel=funnel, changes=changes)
        return in_neither_split(report, settings)

    assert "20 held-out documents stay those of later versions" in said(None, 180, 0)
    assert said("v0", 1000, 60) is None
    assert "150 of 250 documents are of a host that its first version held out" in said("v0", 100, 150)

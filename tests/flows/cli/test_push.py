"""`nr push` against as much of the hub as an upload talks to."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from storage.catalog import refresh_catalog
from storage.records import write_records
from storage.workspace import Workspace
from tests.nr_core.conftest import run, world  # noqa: F401  (fixtures)


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files talks to."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    tokens: set[str] = set()  # noqa: RUF012

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.tokens.add(self.headers["Authorization"])
        if self.path.endswith("/repos/create"):
            self.answer({"url": f"http://{self.headers['Host']}/someone/hungarian", "id": "someone/hungarian"})
        elif self.path.endswith("/validate-yaml"):
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self.answer({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                {
                    "success": True,
                    "commitUrl": f"http://{self.headers['Host']}/someone/hungarian/commit/1",
                    "commitOid": "1",
                    "hookOutput": "",
                }
            )
        else:
            self.answer({"error": self.path}, 404)

    def do_GET(self):
        self.answer({"id": "someone/hungarian", "sha": "0", "siblings": []})

    def answer(self, content, code=200):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def finished(world, run, tmp_path):  # noqa: F811
    """A workspace with one run and its figures."""
    workspace = Workspace(tmp_path / "workspace")
    folder = run(world.train_spec(workspace.run("r"), training={"steps": 2}))
    write_records(workspace, "runs", "r", [{"run_id": "r", "model_id": "r", "base_model_id": "b", "method": "lora"}])
    eval_set = {"eval_id": "e", "name": "novels", "language": "eng", "text_domain": "novels"}
    write_records(workspace, "eval_sets", "e", [eval_set])
    for settings, more in (("h", 0.0), ("in short windows", 0.5)):
        for model, value in (("b", 2.0), ("r", 2.25)):
            row = {"model_id": model, "step": 0, "eval_id": "e", "settings_hash": settings, "metric": "bits_per_byte"}
            write_records(workspace, "evaluations", f"{model} {settings}", [{**row, "value": value + more, "n": 3}])
    write_records(workspace, "run_eval_sets", "r", [{"run_id": "r", "eval_id": "e", "settings_hash": "h"}])
    refresh_catalog(workspace)
    return folder


def push(folder, *options, **environment):
    call = [
        sys.executable,
        "-c",
        "from flows.cli import main; main()",
        "push",
        str(folder),
        "someone/hungarian",
        *options,
    ]
    environment = {**os.environ, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1", **environment}
    workspace = folder.parent.parent
    return subprocess.run(
        [*call, *options, "--workspace", str(workspace)], env=environment, cwd=workspace, capture_output=True, text=True
    )


def test_push_uploads_the_adapter_with_its_card(finished):
    assert "HF_TOKEN is not set" in push(finished, HF_TOKEN="").stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = f"http://127.0.0.1:{server.server_port}"
    local = push(finished, HF_ENDPOINT=hub)
    assert local.returncode == 2 and "name it with --base HUB_ID" in local.stderr
    pushed = push(finished, "--base", "someone/base", HF_ENDPOINT=hub)
    server.shutdown()
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == f"{hub}/someone/hungarian\n"
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= Hub.files.keys()
    assert Hub.tokens == {"Bearer hf_secret"}
    card = Hub.files["README.md"].decode()
    for line in (
        'PeftModel.from_pretrained(base, "someone/hungarian")',
        "base_model: someone/base",
        "- fra",
        "| novels | eng | 2.0000 | 2.2500 |",
    ):
        assert line in card
    assert card.count("| novels |") == 1
    assert json.loads(Hub.files["adapter_config.json"])["base_model_name_or_path"] == "someone/base"
    assert str(finished.parent.parent.parent) not in "".join(c.decode(errors="replace") for c in Hub.files.values())


def test_what_is_no_run_is_not_pushed(tmp_path):
    (tmp_path / "empty" / "nothing").mkdir(parents=True)
    refused = push(tmp_path / "empty" / "nothing")
    assert refused.returncode == 2 and "is no finished run (it has no run.json)" in refused.stderr


@pytest.mark.parametrize("model", ["./bases/mine", "../mine", "bases/of/mine"])
def test_a_base_that_was_named_from_another_folder_is_no_hub_id(finished, model):
    report = json.loads((finished / "run.json").read_text())
    (finished / "run.json").write_text(json.dumps({**report, "base": {"model": model}}))
    refused = push(finished)
    assert refused.returncode == 2 and f"the folder {model}, which nobody else has" in refused.stderr

"""What the README promises, for real: server, worker, `prefect deployment run`, schedules, and SQL over the result."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from flows import server
from storage.query import query
from storage.workspace import Workspace

TINY = Path(__file__).parent / "tiny.yaml"
METHODS = ["adapter", "finetune", "lora", "neutral_residues"]
HOLD_OPEN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
input()
print(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with one deployment of the tiny study and one that a cron schedule starts."""
    folder = tmp_path_factory.mktemp("project")
    config = {"extends": str(TINY), "workspace": str(folder / "workspace")}
    study = {
        "name": "tiny",
        "entrypoint": f"{Path(__file__).parents[2]}/flows/extend_language.py:extend_language",
        "parameters": {"config": config},
        "work_pool": {"name": server.POOL},
    }
    scheduled = {**study, "name": "scheduled", "schedules": [{"cron": "0 3 2 * *", "active": True}]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"name": "test", "deployments": [study, scheduled]}))
    return folder


@pytest.fixture(scope="module")
def services(project):
    yield server.start(project / ".prefect", server.free_port(), project)
    assert server.stop(project / ".prefect")
    assert server.running(project / ".prefect") is None


def deployment_run(services, *arguments):
    command = server.prefect("deployment", "run", "extend-language/tiny", "--watch", *arguments)
    return subprocess.run(command, env=services.environment, capture_output=True, text=True, timeout=500)


def ask(services, path, body):
    request = urllib.request.Request(
        f"{services.url}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


@pytest.mark.deployment
def test_a_deployment_run_goes_from_crawl_to_report_while_a_reader_holds_the_catalog(project, services):
    workspace = Workspace(project / "workspace")
    first = deployment_run(services)
    log = (project / ".prefect" / "worker.log").read_text()
    assert first.returncode == 0, first.stdout + first.stderr + log[-4000:]
    table = query(workspace, "SELECT method, learning, forgetting FROM learning_vs_forgetting ORDER BY method")
    assert [row[0] for row in table.rows] == METHODS
    assert all(value is not None for row in table.rows for value in row)
    assert (workspace.reports / "tiny.html").exists()
    assert {"funnel", "trade-off", "summary"} <= {a["key"] for a in ask(services, "artifacts/filter", {})}

    with subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(workspace.catalog)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout.readline() == "open\n"
        config = {"extends": str(TINY), "workspace": str(workspace.root), "seeds": [0, 1]}
        second = deployment_run(services, "-p", f"config={json.dumps(config)}")
        assert second.returncode == 0, second.stdout + second.stderr
        assert query(workspace, "SELECT count(*) FROM learning_vs_forgetting").rows == [(8,)]
        assert reader.communicate("\n")[0] == "4\n"


@pytest.mark.deployment
def test_a_cron_schedule_yields_a_scheduled_run(services):
    """With the wrong SQLAlchemy the server looks healthy and never schedules anything."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    deadline = time.monotonic() + 90
    while not (runs := ask(services, "flow_runs/filter", wanted)) and time.monotonic() < deadline:
        time.sleep(1)
    assert runs and all(run["auto_scheduled"] for run in runs)


@pytest.mark.deployment
def test_wrong_parameters_make_no_run(services):
    refused = deployment_run(services, "-p", 'config={"training": {"steps": "many"}}')
    assert refused.returncode != 0 and "steps" in refused.stdout + refused.stderr


@pytest.mark.deployment
def test_starting_on_a_taken_port_is_refused(project, services, tmp_path):
    with pytest.raises(server.InputError, match="is taken by another program"):
        server.start(tmp_path, services.port, project)

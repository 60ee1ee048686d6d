"""What README and docs/operations.md promise, for real: server, worker, runs, schedules, and SQL over the result."""

import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import yaml

from flows.config.study import Config, load_config
from flows.extend_language import extend_language
from flows.services import deployments, report_server, server
from flows.services.addresses import free_port
from flows.services.killed_runs import LABEL, end_orphaned_runs
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.query import query
from storage.workspace import Workspace
from tests.flows.config.test_run_form import form_posts
from tests.flows.conftest import nr

TINY = Path(__file__).parents[1] / "tiny.yaml"
METHODS = ["lora", "neutral_residues"]
CRON = "* * * * * */10"  # each ten seconds
HOLD_OPEN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print("open", flush=True)
input()
print(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
"""


def config_of(project):
    return {
        "extends": str(TINY),
        "workspace": str(project / "workspace"),
        "methods": [{"method": method} for method in METHODS],
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with one deployment of the tiny study and one that a cron schedule starts."""
    folder = tmp_path_factory.mktemp("project")
    config = config_of(folder)
    study = {
        "name": "tiny",
        "entrypoint": f"{Path(__file__).parents[3]}/flows/extend_language.py:extend_language",
        "parameters": {"config": config},
        "work_pool": {"name": deployments.POOL},
    }
    refresh = {
        **study,
        "name": "monthly",
        "entrypoint": f"{Path(__file__).parents[3]}/flows/data_refresh.py:data_refresh",
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "schedules": [{"cron": CRON, "timezone": "Europe/Budapest", "active": False, "slug": "often"}],
    }
    follower = {
        **study,
        "name": "after-refresh",
        "entrypoint": f"{Path(__file__).parents[3]}/flows/train_on_new_text.py:train_on_new_text",
        "work_pool": {"name": deployments.POOL, "work_queue_name": deployments.TRAINING_QUEUE},
        "triggers": triggers_of("after-refresh", {"config": config}),
    }
    content = {"name": "test", "deployments": [study, refresh, follower]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(content))
    return folder


def triggers_of(name, parameters):
    """The triggers of a deployment in the repository's own prefect.yaml, with other parameters."""
    listed = yaml.safe_load((Path(__file__).parents[3] / "prefect.yaml").read_text())["deployments"]
    [triggers] = [deployment["triggers"] for deployment in listed if deployment["name"] == name]
    return [{**trigger, "parameters": parameters} for trigger in triggers]


@pytest.fixture(scope="module")
def services(project, prefect_home):
    prefect_home(project / ".prefect")
    report_server.start(project / ".prefect", project / "workspace", free_port())
    services = server.start(project / ".prefect", free_port(), project)
    started = [psutil.Process(services.server_pid), psutil.Process(services.worker_pid)]
    started += [child for process in started for child in process.children(recursive=True)]
    yield services
    assert nr("down", cwd=project).stdout == "stopped\n"
    assert psutil.wait_procs(started, timeout=1)[1] == []
    assert report_server.running(project / ".prefect") is server.running(project / ".prefect") is None
    assert nr("down", cwd=project).stdout == "nothing was started in .prefect\n"


def deployment_run(services, *arguments):
    command = server.prefect("deployment", "run", "extend-language/tiny", "--watch", *arguments)
    return subprocess.run(command, env=services.environment, capture_output=True, text=True, timeout=500)


def ask(services, path, body, method="POST"):
    return services.api.ask(method, path, body)


def test_a_deployment_run_goes_from_crawl_to_report_while_a_reader_holds_the_catalog(project, services):
    workspace = Workspace(project / "workspace")
    refresh_catalog(workspace)  # of nothing yet
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(workspace.catalog)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout.readline() == "open\n"
        run = deployment_run(services)
        log = (project / ".prefect" / "worker.log").read_text()
        assert run.returncode == 0, run.stdout + run.stderr + log[-4000:]
        assert reader.communicate("\n")[0] == "0\n"
    assert "Finished in state Completed()" in log and "hook" not in log.lower()
    table = query(workspace, "SELECT method, learning, forgetting FROM learning_vs_forgetting ORDER BY method")
    assert [row[0] for row in table.rows] == METHODS
    assert all(value is not None for row in table.rows for value in row)
    assert (workspace.reports / "tiny.html").exists()
    artifacts = {artifact["key"]: artifact["data"] for artifact in ask(services, "artifacts/filter", {})}
    assert {"funnel", "trade-off", "summary"} <= set(artifacts)
    link = re.search(r"\[Report\]\((.+)\)", artifacts["summary"])
    with urllib.request.urlopen(link[1]) as page:
        assert page.read() == (workspace.reports / "tiny.html").read_bytes()


def runs_of(project):
    workspace = Workspace(project / "workspace")
    return query(workspace, "SELECT count(*) FROM runs").rows if workspace.catalog.exists() else [(0,)]


def set_schedule(services, name, active):
    [deployment] = ask(services, "deployments/filter", {"deployments": {"name": {"any_": [name]}}})
    [schedule] = deployment["schedules"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    ask(services, path, {"active": active}, "PATCH")


def wait_for_run(services, deployment, seconds, *states):
    wanted = {"deployments": {"name": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": states}}}}
    deadline = time.monotonic() + seconds
    while not (runs := ask(services, "flow_runs/filter", wanted)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return runs


def test_an_active_schedule_refreshes_and_the_refresh_leads_to_training(project, services):
    """With the wrong SQLAlchemy the server looks healthy and never schedules anything."""
    before = runs_of(project)
    set_schedule(services, "monthly", True)
    try:
        begun = wait_for_run(services, "monthly", 200, "RUNNING", "COMPLETED")
        assert begun and all(run["auto_scheduled"] for run in begun)
    finally:
        set_schedule(services, "monthly", False)
    assert wait_for_run(services, "monthly", 400, "COMPLETED")
    # It brought less than a million characters: there is nothing to train, and that is a success.
    [followed, *_] = wait_for_run(services, "after-refresh", 300, "COMPLETED")
    assert followed["parameters"] == {"config": config_of(project)}
    assert runs_of(project) == before


def test_up_twice_does_no_harm_and_what_was_set_on_the_server_stays(project, services):
    def found(name):
        [deployment] = ask(services, "deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        [automation] = ask(services, "automations/filter", {})
        return deployment, automation

    before, automation = found("monthly")
    [schedule] = before["schedules"]
    cron = {"cron": "7 4 1 1 *", "timezone": "Asia/Tokyo"}
    ask(services, f"deployments/{before['id']}/schedules/{schedule['id']}", {"active": True, "schedule": cron}, "PATCH")
    ask(services, f"deployments/{before['id']}", {"parameters": {**before["parameters"], "only_failed": True}}, "PATCH")
    ask(services, f"automations/{automation['id']}", {"enabled": False}, "PATCH")
    queue = f"work_pools/{deployments.POOL}/queues/{deployments.TRAINING_QUEUE}"
    assert ask(services, queue, None, "GET")["concurrency_limit"] == 1
    ask(services, queue, {"concurrency_limit": 3}, "PATCH")
    file, said = project / "prefect.yaml", []
    written = file.read_text()
    content = yaml.safe_load(written)
    [monthly] = [deployment for deployment in content["deployments"] if deployment["name"] == "monthly"]
    monthly["description"] = "new words"
    file.write_text(yaml.safe_dump(content))
    for _ in range(2):
        assert server.up(project / ".prefect", services.port, project, say=said.append) == services
        assert [worker["status"] for worker in services.workers()] == ["ONLINE"]
        after, automation = found("monthly")
        [schedule] = after["schedules"]
        assert schedule["active"] and schedule["schedule"] == {**cron, "day_or": True}
        assert after["parameters"]["only_failed"] and after["description"] == "new words"
        assert automation["enabled"] is False
        assert ask(services, queue, None, "GET")["concurrency_limit"] == 3
    assert any(
        line.startswith("data-refresh/monthly: schedules stays") and "7 4 1 1 *" in line for line in said
    )  # the name that `prefect deployment run` takes

    file.write_text(written)  # and all as it was, for the tests that follow
    ask(services, f"automations/{automation['id']}", {"enabled": True}, "PATCH")
    ask(services, queue, {"concurrency_limit": 1}, "PATCH")
    ask(services, f"deployments/{before['id']}", None, "DELETE")
    server.up(project / ".prefect", services.port, project)
    deployment, automation = found("monthly")
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    assert automation["enabled"] and deployment["parameters"] == before["parameters"]


def test_a_killed_server_is_replaced(project, services):
    [killed] = psutil.Process(services.server_pid).children()
    killed.kill()
    deadline = time.monotonic() + server.START_SECONDS
    while (killed.is_running() or not services.is_healthy()) and time.monotonic() < deadline:
        time.sleep(0.2)
    [child] = psutil.Process(services.server_pid).children()
    assert server.running(project / ".prefect") == services and child != killed


def test_runs_whose_process_has_gone_are_marked_and_those_of_other_machines_are_not(services):
    """Several machines may share a database."""
    now, me, gone = int(time.time()), socket.gethostname(), 2**22 + 1
    processes = {
        "killed": f"{me} {gone} {now}",
        "another of its number": f"{me} {os.getpid()} 0",
        "at work": f"{me} {os.getpid()} {now}",
        "at work elsewhere": f"other-{me} {gone} {now}",
        "says nothing": None,
        "tried again": f"{me} {gone} {now}",  # the label is of the time before
    }
    flow = ask(services, "flows/", {"name": "somebody's"})["id"]
    runs = {}
    for name, process in processes.items():
        labels = {LABEL: process} if process else {}
        run = {
            "flow_id": flow,
            "name": name,
            "labels": labels,
            "state": {"type": "PENDING" if name == "tried again" else "RUNNING"},
        }
        runs[ask(services, "flow_runs/", run)["id"]] = name
    end_orphaned_runs(services.api)
    asked = ask(services, "flow_runs/filter", {"flow_runs": {"id": {"any_": list(runs)}}})
    crashed = {runs[run["id"]] for run in asked if run["state_type"] == "CRASHED"}
    assert len(asked) == len(processes) and crashed == {"killed", "another of its number"}


def test_a_failed_run_calls_the_webhook(tmp_path, services):
    called: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self):
            called.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        token = "token-in-the-address"
        command = [sys.executable, "-c", "from flows.cli import main; main()", "notify"]
        address = {"NR_ALERT_URL": f"http://127.0.0.1:{endpoint.server_port}/{token}"}
        for _ in range(2):  # twice does no harm
            made = subprocess.run(
                [*command, "--home", services.home], env={**services.environment, **address}, capture_output=True
            )
            assert made.returncode == 0, made.stdout + made.stderr
        config = {"extends": str(TINY), "workspace": str(tmp_path), "checks": {"min_documents": 10**9}}
        failed = subprocess.run(
            server.prefect(
                "deployment", "run", "data-refresh/monthly", "--watch", "-p", f"config={json.dumps(config)}"
            ),
            env=services.environment,
            capture_output=True,
            timeout=400,
        )
        assert failed.returncode != 0
        message = json.loads(called.get(timeout=60))["text"]
        endpoint.shutdown()
    assert message.startswith("data-refresh ") and "Failed" in message and "checks.min_documents" in message
    assert called.empty()
    written = [path for path in Path(services.home).rglob("*") if path.is_file()]
    assert not [path for path in written if token.encode() in path.read_bytes()]


def test_wrong_parameters_make_no_run(services):
    refused = deployment_run(services, "-p", 'config={"training": {"steps": "many"}}')
    assert refused.returncode != 0 and "steps" in refused.stdout + refused.stderr


def study_of_run(services, parameters):
    """The study of a run that is made for the far future, as the flow would read it, and then taken back."""
    deployment = ask(services, "deployments/name/extend-language/tiny", None, method="GET")
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    body = {"parameters": parameters(deployment), "state": state, "enforce_parameter_schema": True}
    run = ask(services, f"deployments/{deployment['id']}/create_flow_run", body)
    ask(services, f"flow_runs/{run['id']}", None, method="DELETE")
    return extend_language.validate_parameters(run["parameters"])["config"]


def as_the_form_shows_it(deployment):
    schema = deployment["parameter_openapi_schema"]
    return form_posts(schema, deployment["parameters"], schema["definitions"])


def test_the_form_of_the_server_and_what_is_posted_give_the_study_that_is_meant(project, services):
    inherited = config_of(project)
    changes = {name: value for name, value in inherited.items() if name != "extends"}
    expected = load_config(str(TINY), changes)
    assert study_of_run(services, lambda deployment: {}) == expected
    assert study_of_run(services, as_the_form_shows_it) == expected
    for change in (
        {"base": {"pretrain": {"steps": 5}}},
        {"training": {"steps": 7}},
        {"training": None},
        {"methods": [{"method": "lora", "learning_rate": "1e-3"}]},
        {"corpora": {"italian": {"language": "ita", "text_domain": "web", "sources": ["sample"]}}},
    ):
        found = study_of_run(services, lambda deployment, change=change: {"config": {**inherited, **change}})
        assert found == Config.model_validate({**inherited, **change})


def test_starting_on_a_taken_port_is_refused(project, services, tmp_path):
    with pytest.raises(InputError, match="is taken by another program"):
        server.start(tmp_path, services.port, project)

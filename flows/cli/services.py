"""Commands on Prefect's server and worker, and on the machine they run on."""

import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.app import AT_HOME, AsJson, WorkspaceFolder, app, existing
from flows.services.addresses import proxies, refuse_unusable, refuse_unusable_proxies, without_proxy
from storage.errors import InputError
from storage.locations import at_home

if TYPE_CHECKING:
    from flows.services.server import Services

Home = Annotated[Path, typer.Option(**AT_HOME, help="Folder for the state and logs of server and worker.")]
DAYS: Any = {"min": 0, "max": 36_500}


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of Prefect's server.", min=1, max=65534)] = 4200,
    home: Home = Path(".prefect"),
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback let others in.")] = "127.0.0.1",
    workspace: Annotated[Path, typer.Option(**AT_HOME, help="Serve its reports; flows add those of theirs.")] = Path(
        "workspace"
    ),
    reports_port: Annotated[
        int | None, typer.Option(help="Port of the reports; default: --port + 1.", min=1, max=65535)
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(envvar="NR_ALLOWED_HOSTS", help="Name that servers are asked by, as of a proxy before them."),
    ] = None,
) -> None:
    """Start Prefect's server and worker, and serve the reports. Deploys prefect.yaml; what runs already stays."""
    from flows.services import report_server, server
    from flows.services.access import FILE
    from flows.services.user_prefect_settings import take_own_settings

    elsewhere, hosts = take_own_settings(), allow_host or []
    if report_server.running(home) is None:  # before the server is started, which takes longest
        refuse_unusable(host, reports_port or port + 1, "the reports", "--reports-port")
    services = server.up(home, port, Path.cwd(), host, hosts=hosts, say=say)
    reports = report_server.start(home, workspace, reports_port or services.port + 1, host, hosts)
    print(f"Prefect: {services.url}  (state and logs in {home}; `nr down` stops it)")
    print(f"reports: {reports.url}")
    print(f"log-in at its pages: the line in {home / FILE}")
    if elsewhere and elsewhere != f"{services.url}/api":
        print(f"Prefect's address is set to {elsewhere} here: the next line turns to this server")
    print(f"to use it from this shell: {exports(services, home / FILE)}")


def exports(services: "Services", credential: Path) -> str:
    """Return a shell's line after which Prefect's own commands talk to these services; the credential by reference."""
    names = {"PREFECT_API_URL": f"{services.url}/api", "PREFECT_HOME": str(Path(services.home).resolve())}
    if proxies() or os.environ.get("no_proxy") or os.environ.get("NO_PROXY"):
        names |= without_proxy(services.url)
    given = [f"{name}={quote(value)}" for name, value in names.items()]
    return " ".join(["export", *given, f'PREFECT_API_AUTH_STRING="$(cat {quote(str(credential.resolve()))})"'])


def say(step: str) -> None:
    from flows.cli.table import for_terminal

    print(for_terminal(step), flush=True)


@app.command()
def down(home: Home = Path(".prefect")) -> None:
    """Stop what `nr up` started."""
    from flows.services import report_server, server

    stopped = [report_server.stop(home), server.stop(home)]
    print("stopped" if any(stopped) else f"nothing was started in {home}")


@app.command()
def notify(
    url: Annotated[str, typer.Argument(envvar="NR_ALERT_URL", help="Where to POST {text: ...}, as chats take it.")],
    home: Home = Path(".prefect"),
) -> None:
    """Call a webhook when a flow run fails, crashes or is late."""
    from flows.services import server

    if not re.match(r"https?://[^\s/]", url, re.IGNORECASE):
        raise InputError("this is no address that can be called: give one that begins with https:// or http://")
    services = server.running(home)
    if services is None:
        raise InputError(f"no server runs in {home}: start it with `nr up`")
    refuse_unusable_proxies()
    os.environ.update(services.environment)
    from flows.services.killed_runs import ALERTS, call_when_runs_fail

    call_when_runs_fail(url)
    print(f"automation {ALERTS}: failed, crashed and late flow runs of {services.url}")


@app.command()
def gc(
    workspace: WorkspaceFolder = Path("workspace"),
    versions: Annotated[int, typer.Option(help="Newest versions of each corpus to keep.", min=1)] = 3,
    days: Annotated[float, typer.Option(help="Days that unfinished work stays.", **DAYS)] = 30,
    prefect_days: Annotated[float, typer.Option(help="Days that Prefect's finished flow runs stay.", **DAYS)] = 90,
    home: Home = Path(".prefect"),
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, say what would go.")] = False,
    json: AsJson = False,
) -> None:
    """Remove what a workspace no longer needs. What a version in use or a run needs stays."""
    from flows.cli.table import print_json
    from flows.maintenance.gc import Keep, find_waste, left_alone, remove
    from flows.services import server
    from storage.workspace import Workspace

    opened = Workspace(existing(workspace))
    keep = Keep(versions=versions, days=days)
    alone = [str(path.relative_to(opened.root)) for path in left_alone(opened, keep)]
    waste = find_waste(opened, keep)
    rows = [(item.bytes, str(item.path.relative_to(opened.root)), item.why) for item in waste]
    services = server.running(home)
    old_runs = services.old_runs(prefect_days) if services else []
    if json:
        print_json(
            [
                ("left alone: somebody is at work in it", [{"path": path} for path in alone]),
                (
                    "goes" if yes else "would go",
                    [dict(zip(("bytes", "path", "why"), row, strict=True)) for row in rows],
                ),
                ("flow runs of Prefect", [{"id": run} for run in old_runs]),
            ]
        )
    else:
        for path in alone:
            print(f"left alone: {path}  (somebody is at work in it)")
        for size, path, why in rows:
            print(f"{size / 1e6:10.1f} MB  {path}  ({why})")
        print(f"{len(waste)} paths and {len(old_runs)} flow runs of Prefect {'go' if yes else 'would go; give --yes'}")
    if yes:
        remove(waste, opened)
        if services:
            services.delete_runs(old_runs)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG",
            parser=at_home,
            help="A study to look at too, or text that `nr init` is to read; default: study.yaml, where there is one.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port that `nr up` is to have.", min=1, max=65535)] = 4200,
    home: Home = Path(".prefect"),
    workspace: Annotated[
        Path | None, typer.Option(**AT_HOME, help="The folder that holds the results; default: the study's.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say what is wrong with machine or study, and the fix. Exit code 1 if anything is."""
    from flows.cli.init import STUDY
    from flows.services.doctor.examine import examine

    study = config or (Path(STUDY) if Path(STUDY).exists() else None)
    if json:
        from storage.query import json_text

        findings = list(examine(home, port, workspace, study))
        print(json_text([asdict(finding) for finding in findings]))
        sys.exit(any(finding.fix for finding in findings))
    wrong = 0
    for finding in examine(home, port, workspace, study):
        wrong += bool(finding.fix)
        print(f"{'WRONG' if finding.fix else 'ok':<6}{finding.what}: {finding.says}", flush=True)
        if finding.fix:
            print(f"      fix: {finding.fix}")
    sys.exit(1 if wrong else 0)

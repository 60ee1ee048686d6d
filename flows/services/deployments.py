"""The deployments of prefect.yaml on Prefect's server. What a person has changed there since the last time stays.

`prefect deploy` would put all back: a schedule that was switched on in the UI, its cron, parameters, a pause. Here the
file is deployed with what they set in its place. What the server said after the last time is recorded beside it, in the
form of prefect.yaml, and tells whose change a difference is.
"""

import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from flows.config.errors import refuse_secrets
from flows.config.yaml_files import read_yaml
from flows.services.prefect_api import Api
from pipelines.sources.credentials import credentials_in, is_credential, masked
from pipelines.sources.urls import redacted_text
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError
from storage.files import write_atomically

POOL = "nr"
TRAINING_QUEUE = "training"  # of the pool: as many runs at once as there are GPUs, or one
FILE, MERGED, RECORD = "prefect.yaml", "deployed.yaml", "deployed.json"
SHOWN = 160  # characters of a value in a line
# What `prefect deploy` puts values in place of, in all but the steps (prefect 3.8, prefect.cli.deploy).
_BLOCK = re.compile(r"\{\{\s*prefect\.blocks\.")
_VARIABLE = re.compile(r"\{\{\s*(?:\$|prefect\.variables\.)\s*([\w-]+)")
OF_THE_SERVER = ("id", "created", "updated")
Form = dict[str, Any]


def deploy(project: Path, home: Path, api: Api, settings: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Deploy `project`/prefect.yaml, and say what stays otherwise than there. Raises InputError for a refusal."""
    content, record = read(project / FILE), _recorded(home)
    stand, automations = dict(_deployments(api)), dict(_automations(api, content))
    names = _names(api)
    for deployment in content["deployments"]:
        key = _key(deployment)
        declared = _declared(deployment)
        last = record["deployments"].get(key) or declared
        kept = _changed(last, stand.get(key, {}))
        kept = {field: value for field, value in kept.items() if value != declared.get(field, last[field])}
        for field, value in kept.items():
            written = _short(deployment.get(field))
            say(f"{names[key]}: {field} stays {_short(value)}, as it was set; {FILE} has {written}")
        deployment.update(kept)
        record["deployments"][key] = {field: last[field] for field in kept}
    write_atomically(home / MERGED, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    _run_prefect(project, home / MERGED, settings)
    for key, form in _deployments(api):
        if key in record["deployments"]:
            record["deployments"][key] = form | record["deployments"][key]
    _restore(api, automations, record["automations"], dict(_automations(api, content)), say)
    record["training_limit"] = _limit_trainings(api, record.get("training_limit"), say)
    write_atomically(home / RECORD, json.dumps(record, indent=1))


def read(file: Path) -> Form:
    """Return the content of prefect.yaml, read as a config is. Raises InputError where it is none."""
    content = read_yaml(file)
    listed = content.get("deployments") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(
        isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("name", "entrypoint"))
        for entry in listed
    ):
        raise InputError(f"{file} needs a list `deployments`, each with a name and an entrypoint")
    for entry in listed:
        _refuse_secrets(file, content, entry)
        for field in ("schedules", "triggers"):
            several = entry.get(field) or []
            if not (isinstance(several, list) and all(isinstance(one, dict) for one in several)):
                raise InputError(
                    f"{file}: `{field}` of deployment {entry['name']!r} is {_short(several)}: give a list of mappings, "
                    "or leave it out"
                )
    return dict(content)


def _refuse_secrets(file: Path, content: Form, deployment: Form) -> None:
    """Raise InputError for what Prefect's database would keep and its pages show: all but how it is built here."""
    kept = {field: value for field, value in deployment.items() if field not in ("build", "push")}
    kept["pull"] = kept.get("pull", content.get("pull"))
    named = [(field, kept.get(field)) for field in ("pull", "tags")]
    named += [("job_variables", one["job_variables"]) for one in _mappings(kept) if "job_variables" in one]
    try:
        refuse_secrets(kept)
        for field in (found for name, value in named for found in credentials_in(value, name)):
            raise ValueError(
                f"`{field}` has a secret in it, which would be kept and shown: set it where the worker runs, or take "
                "it from a Secret block: those of `job_variables` go into `secret_blocks` of the config, a `pull` step "
                "takes {{ prefect.blocks.secret.NAME }}"
            )
        for field in (found for name, value in kept.items() if name != "pull" for found in _put_in(value, name)):
            raise ValueError(
                f"`{field}` takes a secret that Prefect puts in its place when it deploys, and then keeps and shows: "
                "name the Secret block in `secret_blocks` of the config, or set it where the worker runs"
            )
    except ValueError as error:
        raise InputError(f"{file}: deployment {deployment['name']!r}: {error}") from None


def _put_in(tree: Any, name: str) -> Iterator[str]:
    """Yield the way to each text in which `prefect deploy` puts a secret: a block's, or a variable's of such a name."""
    if isinstance(tree, str):
        variables = [found[1] for found in _VARIABLE.finditer(tree)]
        if _BLOCK.search(tree) or any(is_credential(one, "a secret") for one in (variables and [name, *variables])):
            yield name
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for place, part in parts:
        yield from _put_in(part, f"{name}.{place}")


def _mappings(tree: Any) -> Iterator[Form]:
    """Yield the mappings of a tree, as of YAML."""
    if isinstance(tree, dict):
        yield tree
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _mappings(part)


def refuse_absent_flows(file: Path, content: Form) -> None:
    """Raise InputError for a deployment whose flow is not where its entrypoint says, before anything is started."""
    for deployment in content["deployments"]:
        entrypoint, name = deployment["entrypoint"], deployment["name"]
        place, _, flow = entrypoint.rpartition(":" if ":" in entrypoint else ".")
        source = file.parent / place if ":" in entrypoint else _source_of(file.parent, place)
        if not (source and source.is_file()):
            lacking = f"there is no {place or 'such place'}"
        elif not _defines(source, flow.split(".")[0]):
            lacking = f"{source} defines no flow {flow}"
        else:
            continue
        raise InputError(
            f"{file}: the entrypoint of deployment {name!r} is {entrypoint!r}, and {lacking}: correct it (`nr init` in "
            "an empty folder writes a prefect.yaml whose flows are those installed)"
        )


def _source_of(project: Path, module: str) -> Path | None:
    """Return the file of a module, of the folder or installed, without importing it; None for none."""
    inside = project.joinpath(*module.split("."))
    for place in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
        if place.is_file():
            return place
    try:
        found = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.origin else None


def _defines(source: Path, name: str) -> bool:
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{source}, of a deployment's entrypoint, is no Python: {error}; correct it") from None
    return any(name in _named(node) for node in ast.walk(tree))


def _named(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.Import(names=imported) | ast.ImportFrom(names=imported):
            return [(one.asname or one.name).split(".")[0] for one in imported]
    return []


def _recorded(home: Path) -> Form:
    empty: Form = {"deployments": {}, "automations": {}}
    try:
        record = {**empty, **json.loads((home / RECORD).read_text())}
    except (FileNotFoundError, ValueError, TypeError):  # none, or one that a power cut has emptied
        return empty
    return record if all(isinstance(record[part], dict) for part in empty) else empty


def _changed(last: Form, now: Form) -> Form:
    return {field: value for field, value in now.items() if field in last and value != last[field]}


def _run_prefect(project: Path, file: Path, settings: Mapping[str, str]) -> None:
    command = python_command("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file.resolve()))
    everything = {**settings, **python_environment()}
    done = subprocess.run(command, cwd=project, env=everything, capture_output=True, text=True)
    if done.returncode:
        said = [line.strip(" │╭╰─╮╯") for line in f"{done.stdout}\n{done.stderr}".splitlines()]
        reason = [line for line in said if line][-1:] or [f"Prefect ended with exit code {done.returncode}"]
        raise InputError(f"{project / FILE} could not be deployed: {reason[0][:2000]}")


def _key(deployment: Form) -> str:
    return f"{deployment['entrypoint']}/{deployment['name']}"


def _names(api: Api) -> dict[str, str]:
    """Return by what name `prefect deployment run` takes each deployment of the server."""
    flows = {flow["id"]: flow["name"] for flow in api.ask("POST", "flows/filter", {})}
    found = api.ask("POST", "deployments/filter", {})
    names = {_key(one): f"{flows[one['flow_id']]}/{one['name']}" for one in found}
    return {key: quote(name) if name.isprintable() else repr(name) for key, name in names.items()}


def _deployments(api: Api) -> Iterator[tuple[str, Form]]:
    """Return what the server has, in the form of prefect.yaml."""
    for found in api.ask("POST", "deployments/filter", {}):
        limit, options = found["global_concurrency_limit"], found["concurrency_options"] or {}
        yield (
            _key(found),
            {
                "parameters": found["parameters"],
                "schedules": _schedules([{**entry, **entry["schedule"]} for entry in found["schedules"]]),
                "paused": found["paused"],
                "description": found["description"],
                "tags": found["tags"],
                "concurrency_limit": limit and {"limit": limit["limit"], **_without_nulls(options)},
                "enforce_parameter_schema": found["enforce_parameter_schema"],
                "work_pool": {
                    "name": found["work_pool_name"],
                    "work_queue_name": found["work_queue_name"],
                    "job_variables": found["job_variables"],
                },
            },
        )


def _declared(deployment: Form) -> Form:
    """Return what the server would say of a deployment after it was made, as far as the file says it."""
    declared: Form = {
        field: deployment[field] for field in ("parameters", "paused", "description") if field in deployment
    }
    return {**declared, "schedules": _schedules(deployment.get("schedules") or [])}


def _schedules(entries: list[Form]) -> list[Form]:
    defaults: Form = {"timezone": None, "active": True, "slug": None, "parameters": {}}
    kinds: dict[str, Form] = {"cron": {"day_or": True}, "interval": {"anchor_date": None}, "rrule": {}}
    forms = [
        {field: entry.get(field, default) for field, default in {kind: None, **extra, **defaults}.items()}
        for entry in entries
        for kind, extra in kinds.items()
        if entry.get(kind)
    ]
    return sorted(map(_without_nulls, forms), key=json.dumps)


def _without_nulls(form: Form) -> Form:
    return {field: value for field, value in form.items() if value is not None}


def _short(value: Any) -> str:
    text = redacted_text(json.dumps(masked(value), ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _automations(api: Api, content: Form) -> Iterator[tuple[str, Form]]:
    """Yield the automations that Prefect makes of the deployments' triggers, by name."""
    names = {
        trigger.get("name") or f"{deployment['name']}__automation_{number}"
        for deployment in content["deployments"]
        for number, trigger in enumerate(deployment.get("triggers") or [], start=1)
    }
    for found in api.ask("POST", "automations/filter", {}):
        if found["name"] in names:
            yield found["name"], found


def _restore(api: Api, before: Form, last: Form, now: Form, say: Callable[[str], None]) -> None:
    """Make automations again what a person had made of them; `last` becomes what they were made as."""
    for name, made in now.items():
        form = _form_of(made)
        if name in last and name not in before:
            api.ask("DELETE", f"automations/{made['id']}")
            say(f"automation {name} stays deleted")
        elif name in last and _form_of(before[name]) != last[name]:
            api.ask("PUT", f"automations/{made['id']}", _form_of(before[name]))
            say(f"automation {name} stays as it was set")
        else:
            last[name] = form


def _form_of(automation: Form) -> Form:
    form = {field: value for field, value in automation.items() if field not in OF_THE_SERVER}
    trigger = {field: value for field, value in form["trigger"].items() if field != "id"}
    return {**form, "trigger": trigger}


def _limit_trainings(api: Api, last: int | None, say: Callable[[str], None]) -> int:
    """Allow one training a GPU, or one on a machine without: those that wait are queued, whatever deployment started
    them.

    A limit that somebody has changed since `last` stays. Returns the one that was meant.
    """
    meant = max(1, len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))
    limit, queues = {"concurrency_limit": meant}, api.ask("POST", f"work_pools/{POOL}/queues/filter", {})
    [queue] = [queue for queue in queues if queue["name"] == TRAINING_QUEUE] or [None]
    if queue is None:
        api.ask("POST", f"work_pools/{POOL}/queues", {"name": TRAINING_QUEUE, **limit})
    elif last is None or queue["concurrency_limit"] == last:
        api.ask("PATCH", f"work_pools/{POOL}/queues/{TRAINING_QUEUE}", limit)
    else:
        say(f"queue {TRAINING_QUEUE}: its limit stays {queue['concurrency_limit']}; {meant} would be set")
        return last
    return meant

"""prefect.yaml as `nr up` reads it, before any server is started: what it may not hold."""

import pytest
import yaml

from flows.services.deployments import read
from storage.errors import InputError

TOKEN = f"hf_{'canary' * 6}"
CLONE, SHELL = "prefect.deployments.steps.git_clone", "prefect.deployments.steps.run_shell_script"
VARIABLES = {"job_variables": {"env": {"A_SECRET": "canary"}}}
LAUNCHER = {"resources": {"launcher": "env T_TOKEN=canary run"}}
ADDRESS = {"sources": {"web": {"kind": "warc", "paths": ["https://me:canary@files.example/a.warc.gz"]}}}
KUBERNETES = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub-secret", "key": "hub-token"}}}


@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("parameters.config.sources.web.paths.0", {"parameters": {"config": ADDRESS}}),
        ("parameters.config.resources.launcher", {"parameters": {"config": LAUNCHER}}),
        ("parameters.config.secret_blocks.KEY", {"parameters": {"config": {"secret_blocks": {"KEY": "a canary!"}}}}),
        ("schedules.0.parameters.config.sources.web.paths.0", {"schedules": [{"parameters": {"config": ADDRESS}}]}),
        ("triggers.0.parameters.config.sources.web.paths.0", {"triggers": [{"parameters": {"config": ADDRESS}}]}),
        ("job_variables.command", {"work_pool": {"job_variables": {"command": "env HF_TOKEN=canary nr run"}}}),
        ("job_variables.env.HF_TOKEN", {"work_pool": {"name": "nr", "job_variables": {"env": {"HF_TOKEN": "canary"}}}}),
        ("job_variables.env.HF_TOKEN", {"work_pool": {"job_variables": {"env": {"HF_TOKEN": 20262026}}}}),
        ("job_variables.env.0", {"work_pool": {"job_variables": {"env": ["HF_TOKEN=canary"]}}}),
        ("job_variables.env.0.value", {"job_variables": {"env": [{"name": "A_PAT", "value": "canary"}]}}),
        ("job_variables.env.HF_TOKEN.0", {"job_variables": {"env": {"HF_TOKEN": ["canary"]}}}),
        ("job_variables.env.HF_TOKEN.hub.0", {"job_variables": {"env": {"HF_TOKEN": {"hub": ["canary"]}}}}),
        ("job_variables.env.0.Value", {"job_variables": {"env": [{"Name": "A_PAT", "Value": "canary"}]}}),
        ("job_variables.env.0.1", {"job_variables": {"env": [["WANDB_API_KEY", "canary"]]}}),
        ("job_variables.env.hubToken", {"job_variables": {"env": {"hubToken": "canary"}}}),
        ("job_variables.headers.Cookie", {"job_variables": {"headers": {"Cookie": "session=canary"}}}),
        ("job_variables.args.2", {"job_variables": {"args": ["nr", "--hub-token", "canary"]}}),
        ("job_variables.args.2", {"job_variables": {"args": ["sshpass", "-p", "canary", "ssh"]}}),
        ("job_variables.\\*\\*\\*", {"job_variables": {TOKEN: 1}}),
        ("job_variables.key", {"job_variables": {"key": "-----BEGIN PRIVATE KEY-----\ncanary"}}),
        ("job_variables.env.HUB", {"job_variables": {"env": {"HUB": "{{ prefect.blocks.secret.canary }}"}}}),
        ("job_variables.env.HF_TOKEN", {"job_variables": {"env": {"HF_TOKEN": "{{ prefect.variables.hub }}"}}}),
        ("job_variables.env.HUB", {"job_variables": {"env": {"HUB": "{{ $HF_TOKEN }}"}}}),
        ("job_variables.env.A_SECRET", VARIABLES),
        ("job_variables.env.A_SECRET", {"triggers": [{"actions": [VARIABLES]}]}),
        ("tags.1", {"tags": ["data", TOKEN]}),
        ("tags.0", {"tags": ["HF_TOKEN=canary"]}),
        ("description", {"description": f"reads with {TOKEN}"}),
        ("pull.0.prefect.deployments.steps.git_clone.access_token", {"pull": [{CLONE: {"access_token": "canary"}}]}),
        ("pull.0.prefect.deployments.steps.run_shell_script.script", {"pull": [{SHELL: {"script": "vault login me"}}]}),
    ],
)  # fmt: skip
def test_a_secret_that_prefect_would_keep_and_show_is_refused_and_not_repeated(tmp_path, field, entry):
    file = tmp_path / "prefect.yaml"
    deployment = {"name": "monthly", "entrypoint": "flows/data_refresh.py:data_refresh", **entry}
    file.write_text(yaml.safe_dump({"deployments": [deployment]}))
    with pytest.raises(InputError, match=rf"deployment 'monthly': `{field}` ") as refused:
        read(file)
    assert "canary" not in str(refused.value) and "2026" not in str(refused.value)


def test_a_secret_in_the_steps_of_all_deployments_is_refused(tmp_path):
    file = tmp_path / "prefect.yaml"
    deployments = [{"name": "monthly", "entrypoint": "flows/data_refresh.py:data_refresh"}]
    file.write_text(yaml.safe_dump({"pull": [{CLONE: {"access_token": "canary"}}], "deployments": deployments}))
    with pytest.raises(InputError, match="has a secret in it"):
        read(file)


def test_a_reference_to_a_secret_is_taken(tmp_path):
    file = tmp_path / "prefect.yaml"
    env = {"HF_TOKEN": "$HUB", "WANDB_API_KEY": None, "NR_THREADS": 2, "CLUSTER": "{{ prefect.variables.cluster }}"}
    parameters = {"config": {"extends": "configs/demo.yaml", "secret_blocks": {"HF_TOKEN": "hub"}}}
    steps = [{CLONE: {"repository": "https://git.example/me/x.git", "access_token": "{{ prefect.blocks.secret.git }}"}}]
    entry = {
        "name": "demo",
        "description": "The password is the worker's: set it there.",
        "tags": ["data", "team:speech"],
        "pull": [*steps, {SHELL: {"script": "pip install -r requirements.txt"}}],
        "entrypoint": "a.py:b",
        "parameters": parameters,
        "work_pool": {"job_variables": {"env": env, "kubernetes": [KUBERNETES], "args": ["ssh", "-p", "22", "a.host"]}},
    }
    file.write_text(yaml.safe_dump({"deployments": [entry]}))
    assert read(file)["deployments"] == [entry]

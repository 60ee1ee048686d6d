"""prefect.yaml as `nr up` reads it, before any server is started: what it may not hold."""

import pytest
import yaml

from flows.services.deployments import read
from storage.errors import InputError

LAUNCHER = {"resources": {"launcher": "env T_TOKEN=canary run"}}
ADDRESS = {"sources": {"web": {"kind": "warc", "paths": ["https://me:canary@files.example/a.warc.gz"]}}}


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
    ],
)  # fmt: skip
def test_a_secret_that_prefect_would_keep_and_show_is_refused_and_not_repeated(tmp_path, field, entry):
    file = tmp_path / "prefect.yaml"
    deployment = {"name": "monthly", "entrypoint": "flows/data_refresh.py:data_refresh", **entry}
    file.write_text(yaml.safe_dump({"deployments": [deployment]}))
    with pytest.raises(InputError, match=rf"deployment 'monthly': `{field}` ") as refused:
        read(file)
    assert "canary" not in str(refused.value)


def test_a_reference_to_a_secret_is_taken(tmp_path):
    file = tmp_path / "prefect.yaml"
    env = {"HF_TOKEN": "{{ prefect.blocks.secret.hub }}", "WANDB_API_KEY": None, "NR_THREADS": 2}
    parameters = {"config": {"extends": "configs/demo.yaml", "secret_blocks": {"HF_TOKEN": "hub"}}}
    entry = {
        "name": "demo",
        "entrypoint": "a.py:b",
        "parameters": parameters,
        "work_pool": {"job_variables": {"env": env}},
    }
    file.write_text(yaml.safe_dump({"deployments": [entry]}))
    assert read(file)["deployments"] == [entry]

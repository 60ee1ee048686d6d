"""The examples of docs/operations.md for clusters: as far as they can be looked at without one."""

import json
import re
import subprocess
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_slurm_script_starts_the_flow_with_torchrun_on_all_nodes(tmp_path):
    """With Slurm's commands and ours replaced by such as say what they were given."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("nr() { printf '%s\\n' nr \"$@\"; }\n")
    (tmp_path / "scontrol").write_text("#!/bin/sh\nprintf 'node7\\nnode8\\n'\n")
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_ID": "11"}
    done = subprocess.run(
        ["bash", EXAMPLES / "slurm" / "train.sbatch", "study.yaml", "--set", "seeds=[0]"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **slurm},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *["nr", "train", "study.yaml", "--set", "seeds=[0]", "--set", "resources.devices=4", "--set"],
        "resources.launcher=srun --kill-on-bad-exit=1 torchrun --nnodes=2 --nproc-per-node=4 --rdzv-id=11 "
        "--rdzv-backend=c10d --rdzv-endpoint=node7:29500",
    ]


def test_the_kubernetes_template_has_all_variables_that_it_and_the_deployment_name():
    template = json.loads((EXAMPLES / "kubernetes" / "base-job-template.json").read_text())
    known = set(template["variables"]["properties"])
    named = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert named == known
    [deployment] = yaml.safe_load((EXAMPLES / "kubernetes" / "deployment.yaml").read_text())["deployments"]
    assert set(deployment["work_pool"]["job_variables"]) <= known

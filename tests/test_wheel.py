"""A built wheel, installed beside the packages that are here, works without the checkout."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
TINY = REPOSITORY / "tests" / "flows" / "tiny.yaml"


def call(*arguments, cwd, **environment):
    everything = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "PYTHON"))}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={**everything, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A virtual environment with the wheel, which sees the packages of this one but not the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, REPOSITORY)
    call(sys.executable, *build, cwd=folder)
    (wheel,) = folder.glob("neutral_residues-*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    call(sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps", wheel, cwd=folder)
    # A plain path: the editable install of the checkout, itself a .pth file in there, is not followed.
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib"))
    where = call(python, "-c", "import flows; print(flows.__file__)", cwd=folder)
    assert str(folder) in where
    return folder


@pytest.mark.server
def test_the_wheel_runs_a_small_study_to_its_report(installed, language_model):
    nr = installed / "venv" / "bin" / "nr"
    assert "The whole way" in call(nr, "--help", cwd=installed)
    config = {**yaml.safe_load(TINY.read_text()), "documents": {"language_model": str(language_model)}}
    config["sources"]["sample"]["pages"] = 20
    (installed / "tiny.yaml").write_text(yaml.safe_dump(config))
    call(nr, "run", "tiny.yaml", cwd=installed)
    table = call(nr, "sql", "SELECT method FROM learning_vs_forgetting ORDER BY 1", "--format", "csv", cwd=installed)
    assert table.split() == ["method", "adapter", "finetune", "lora", "neutral_residues"]
    assert (installed / "workspace" / "reports" / "tiny.html").stat().st_size > 10_000

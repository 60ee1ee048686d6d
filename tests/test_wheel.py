"""A built wheel, installed beside the packages that are here, works without the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from storage.query import query
from storage.workspace import Workspace
from tests.nr_core.tiny import tiny_model

REPOSITORY = Path(__file__).parents[1]


def call(*arguments, cwd, codes=(0,), **environment):
    everything = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "PYTHON"))}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={**everything, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode in codes, done.stdout[-3000:] + done.stderr[-3000:]
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


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(installed):
    (wheel,) = installed.glob("neutral_residues-*.whl")
    there = set(zipfile.ZipFile(wheel).namelist())
    packages = ("configs", "flows", "nr_core", "pipelines", "storage")
    own = {str(file.relative_to(REPOSITORY)) for name in packages for file in (REPOSITORY / name).rglob("*")}
    own = {name for name in own if (REPOSITORY / name).is_file() and not name.endswith((".pyc", ".pyo"))}
    assert own and sorted(own - there) == []


@pytest.mark.server
def test_from_the_wheel_and_a_file_of_ones_own_to_the_report(installed, language_model):
    """`nr init`, then the commands that it names, at toy size: what docs/own-data.md promises."""
    folder, nr = installed / "own", installed / "venv" / "bin" / "nr"
    assert "Go the whole way" in call(nr, "--help", cwd=installed)
    folder.mkdir()
    save_base(folder / "base")
    for name, words in (
        ("fr", "Le petit jardin est rouge et la pomme tombe"),
        ("en", "The small garden is red in the"),
    ):
        rows = [{"title": "x", "body": f"{words} {number}. " * 12 + f"{number * 7919}"} for number in range(60)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = ("--language", "fra", "--model", "base", "--data", "fr.jsonl", "--original", "en.jsonl")
    call(nr, "init", *given, cwd=folder)
    told = call(nr, "doctor", cwd=folder, codes=(0, 1))  # 1: it finds that the toy base has a short context
    assert "study.yaml can be begun" in told
    toy = {
        "documents.language_model": language_model,
        "corpora.new-language.dedup.threshold": 1,
        "corpora.original-language.dedup.threshold": 1,
        "training": "{steps: 3, sequence_length: 32, batch_size: 2, dead_gate_share: 0}",
        "evaluation": "{sequence_length: 32, max_tokens: 500}",
    }
    call(nr, "run", "study.yaml", *(f"--set={field}={value}" for field, value in toy.items()), cwd=folder)
    [table] = json.loads(call(nr, "runs", "--json", cwd=folder))
    assert [(row["name"], row["status"], row["language"]) for row in table["rows"]] == [
        ("neutral_residues", "done", "fra")
    ]
    workspace = Workspace(folder / "workspace")
    measured = query(workspace, "SELECT run_id, learning, forgetting_in_replay FROM learning_vs_forgetting")
    [[run, learning, forgetting]] = measured.rows
    assert learning is not None and forgetting is not None
    assert (workspace.run(run) / "adapter" / "adapter_config.json").is_file()
    assert (workspace.reports / "study.html").stat().st_size > 10_000


def save_base(folder):
    """A model of a few thousand parameters, with a tokenizer of bytes, as the hub would give it."""
    letters = sorted(ByteLevel.alphabet())
    words = Tokenizer(BPE({letter: number for number, letter in enumerate([*letters, "<end>"])}, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    words.decoder = ByteLevelDecoder()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>").save_pretrained(folder)
    tiny_model("llama", vocab_size=257).save_pretrained(folder)

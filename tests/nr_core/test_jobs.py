"""`python -m nr_core`: specs, settings, locks and what they refuse."""

import json
import shutil
import subprocess
import sys

import pytest
from pydantic import ValidationError

from nr_core.__main__ import main
from nr_core.settings import LoopSettings, MethodSettings, PretrainSettings


@pytest.fixture(autouse=True)
def keep_signals(monkeypatch):
    monkeypatch.setattr("nr_core.stopping.listen", lambda: None)


def call(capsys, job, *specs):
    code = main([job, *map(str, specs)])
    lines = capsys.readouterr().out.splitlines()
    return code, [json.loads(line) for line in lines if line.startswith('{"event"')]


def write(path, spec):
    path.write_text(json.dumps(spec))
    return path


def test_a_failed_spec_hides_no_other_and_finished_ones_return_at_once(world, tmp_path, capsys):
    wrong = write(tmp_path / "wrong.json", world.train_spec(tmp_path / "wrong", base={"model": str(tmp_path / "no")}))
    right = write(tmp_path / "right.json", world.train_spec(tmp_path / "right", label="the right one"))
    code, events = call(capsys, "train", wrong, right)
    assert code == 2
    errors = [event for event in events if event["event"] == "error"]
    assert [(event["label"], "No causal language model" in event["message"]) for event in errors] == [("wrong", True)]
    progress = [event for event in events if event["event"] == "progress"][-1]
    assert (progress["label"], progress["unit"], progress["done"]) == ("the right one", "steps", 12)
    assert (tmp_path / "right" / "run.json").is_file()
    finished = (tmp_path / "right" / "run.json").stat().st_mtime_ns
    assert call(capsys, "train", right) == (0, [])
    assert (tmp_path / "right" / "run.json").stat().st_mtime_ns == finished


def test_a_folder_begun_with_other_settings_is_refused(world, tmp_path, capsys):
    spec = world.train_spec(tmp_path / "run")
    assert call(capsys, "train", write(tmp_path / "a.json", spec))[0] == 0
    renamed = {**spec, "threads": 2, "label": "other", "training": {**spec["training"], "checkpoint_every": 3}}
    assert call(capsys, "train", write(tmp_path / "b.json", renamed))[0] == 0
    code, events = call(capsys, "train", write(tmp_path / "c.json", {**spec, "seed": 1}))
    assert code == 2
    assert "was begun with other settings" in events[0]["message"]


def test_what_was_cut_off_goes_on_where_all_of_it_was_moved(world, tmp_path, capsys):
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(world.new, before / "tokens" / "new")
    spec = world.train_spec(before / "runs" / "run")
    spec["inputs"] = [{**one, "tokens": str(before / "tokens" / "new")} for one in spec["inputs"]]
    assert call(capsys, "train", write(tmp_path / "a.json", spec))[0] == 0
    (before / "runs" / "run" / "run.json").unlink()  # cut off before the end
    before.rename(after)
    moved = json.loads(json.dumps(spec).replace(str(before), str(after)))
    assert call(capsys, "train", write(tmp_path / "b.json", moved))[0] == 0


def test_a_full_disk_is_said_and_the_same_command_goes_on(world, tmp_path, capsys):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", small], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        changes = {"method": {"method": "finetune"}, "training": {"checkpoint_every": 2}}
        spec = write(tmp_path / "spec.json", world.train_spec(small / "run", **changes))
        code, events = call(capsys, "train", spec)
        assert code == 2
        assert f"No space is left on the disk for {small / 'run'}; free some" in events[-1]["message"]
        subprocess.run(["mount", "-o", "remount,size=10m", small], check=True)
        assert call(capsys, "train", spec)[0] == 0
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": {"method": "distil"}}, "method.method: Input should be"),
        ({"training": {"stepz": 3}}, "training.stepz: Extra inputs are not permitted"),
        ({"inputs": [{"role": "original", "language": "eng", "tokens": "t", "share": 1.0}]}, "nothing to learn"),
        ({"method": {"method": "lora", "alpha": 1.0}}, "alpha: lora has no local loss; leave alpha out"),
    ],
)
def test_wrong_specs_are_refused_with_the_field(world, tmp_path, capsys, changes, message):
    code, events = call(capsys, "train", write(tmp_path / "s.json", world.train_spec(tmp_path / "run", **changes)))
    assert code == 2
    assert message in events[0]["message"]


def test_contradictions_are_refused():
    with pytest.raises(ValidationError, match="finetune adds no parameters; leave budget out"):
        MethodSettings(method="finetune", budget=0.1)
    with pytest.raises(ValidationError, match="micro_batch_size: 3 must divide batch_size 64"):
        LoopSettings(micro_batch_size=3)
    with pytest.raises(ValidationError, match="even multiple of heads 3"):
        PretrainSettings(hidden_size=64, heads=3)
    for method in ("finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"):
        settings = MethodSettings(method=method)
        assert MethodSettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("neutral_residues", {"gate": "sigmoid", "local_loss": "l1"}, "choose local_loss: cross_entropy or none"),
        ("neutral_residues", {"gate": "sigmoid", "local_loss": "relative_l1"}, "and relative_l1 is not"),
        ("neutral_residues", {"local_loss": "cross_entropy"}, "the gate is relu; choose gate: sigmoid"),
        ("neutral_residues", {"local_loss": "none", "alpha": 1.0}, "alpha: there is no local loss to weigh"),
        ("neutral_residues", {"local_loss": "none", "max_forgetting": 0.1}, "max_forgetting: there is no local loss"),
        ("neutral_residues", {"alpha": 1.0, "max_forgetting": 0.1}, "give one of the two"),
        ("neutral_residues", {"layers": [1, 1]}, "give each layer once"),
        ("neutral_residues", {"embeddings": "trained"}, "trained is not for neutral_residues; choose frozen or new"),
        ("adapter", {"gate": "relu"}, "gate: adapter has no gate; leave gate out, or choose the method neutral_res"),
        ("adapter", {"local_loss": "l1"}, "local_loss: adapter has no local loss"),
        ("lora", {"placement": "attention"}, "placement: lora has no adapters to place"),
        ("dora", {"embeddings": "frozen"}, "embeddings: dora leaves the embeddings frozen"),
        ("finetune", {"initialisation": "he"}, "has its own initialisation"),
        ("llama_pro", {"layers": [1]}, "layers: llama_pro has no adapters to place"),
    ],
)
def test_contradictions_of_methods_are_refused(method, changes, message):
    with pytest.raises(ValidationError, match=message):
        MethodSettings(method=method, **changes)


def test_what_a_later_version_added_leaves_the_identity_of_earlier_runs_alone():
    settings = MethodSettings(method="neutral_residues", alpha=1.0)
    first = {"method", "name", "learning_rate", "budget", "budget_of", "alpha"}
    assert set(settings.model_dump(mode="json")) == first
    assert set(MethodSettings(method="neutral_residues", gate="elu").model_dump()) == first | {"gate"}


def test_settings_and_the_package_itself_import_nothing_heavy():
    code = "import sys, nr_core, nr_core.settings, nr_core.specs, nr_core.errors\n"
    code += "assert not {'torch', 'peft', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

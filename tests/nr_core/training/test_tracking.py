"""Live figures in the local stores of the trackers that are installed; what is said of one that fails."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from nr_core.errors import ModelError
from nr_core.specs import TrainSpec
from nr_core.training.tracking import tracked

SHOWN = {"lm_loss", "local_loss", "alpha", "learning_rate", "gates/new/layer_00", "gates/original/layer_01"}
TRAINING = {"steps": 4, "log_every": 2, "checkpoint_every": 3}


def asked(world, out, tracker, **changes):
    return world.train_spec(out, training=TRAINING, tracking=tracker, tracking_project="tracked", **changes)


def test_mlflow_has_each_logged_step(world, run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for _ in range(2):  # the second goes on in the run of the first
        run(asked(world, tmp_path / ".0123.partial", "mlflow", label="gated seed 0"))
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tracked")
    [found] = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == ("gated seed 0", "FINISHED")
    assert found.data.params["method"] == "neutral_residues"
    assert str(world.root) not in str(found.data.params)
    assert set(found.data.metrics) >= SHOWN
    assert {one.step for one in client.get_metric_history(found.info.run_id, "lm_loss")} == {1, 2, 4}


def test_trackio_has_each_logged_step(world, run, tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    storage = pytest.importorskip("trackio.sqlite_storage")
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path / "store")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "store")
    run(asked(world, tmp_path / ".0123.partial", "trackio", label="gated seed 0"))
    logs = storage.SQLiteStorage.get_logs("tracked", "gated seed 0 0123")
    assert [row["step"] for row in logs] == [1, 2, 4]
    assert set(logs[-1]) >= SHOWN


def test_wandb_offline_keeps_the_run_in_its_folder(world, run, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in (("MODE", "offline"), ("DIR", tmp_path), ("SILENT", "true"), ("CACHE_DIR", tmp_path / "cache")):
        monkeypatch.setenv(f"WANDB_{name}", str(value))
    run(asked(world, tmp_path / ".0123.partial", "wandb", label="gated seed 0"))
    [kept] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"gates/new/layer_00" in kept.read_bytes() and b"gated seed 0" in kept.read_bytes()


def test_a_tracker_that_is_not_installed_is_refused(world, run, tmp_path, monkeypatch):
    monkeypatch.setattr("nr_core.training.tracking.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="wandb is not installed"):
        run(asked(world, tmp_path / "run", "wandb"))


@pytest.fixture
def failing(monkeypatch):
    """A wandb that starts and takes nothing, for what a tracker of a person without a network does."""
    module = ModuleType("wandb")
    module.calls = []

    class Run:
        def log(self, figures, step):
            module.calls.append(step)
            raise RuntimeError("no route to https://someone:hidden-word@host/ with key sesame-open-now")

        def finish(self, exit_code):
            module.calls.append(f"finish {exit_code}")

    module.init = lambda **given: module.calls.append(given) or Run()
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr("nr_core.training.tracking.find_spec", lambda name: module)
    monkeypatch.setenv("WANDB_API_KEY", "sesame-open-now")
    return module


def test_gates_bear_the_numbers_of_their_layers(world, run, tmp_path, failing):
    """As in gate_activity: of gated rows the embedding, and the head one after the last layer."""
    shown: dict[str, float] = {}
    run_of_tracker = SimpleNamespace(log=lambda figures, step: shown.update(figures), finish=lambda exit_code: None)
    failing.init = lambda **given: run_of_tracker
    method = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 3e-3}
    run(asked(world, tmp_path / "a", "wandb", method={**method, "layers": [1]}))
    assert {name for name in shown if name.startswith("gates/new/")} == {"gates/new/layer_01"}
    shown.clear()
    run(asked(world, tmp_path / "b", "wandb", method={**method, "embeddings": "gated_rows"}))
    layers = {name.removeprefix("gates/new/") for name in shown if name.startswith("gates/new/")}
    assert layers == {"embedding", "layer_00", "layer_01", "layer_02"}


def test_a_tracker_that_fails_costs_its_figures_and_tells_no_secret(world, run, tmp_path, failing, capfd):
    out = run(asked(world, tmp_path / "run", "wandb"))
    assert (out / "run.json").is_file()
    given, *calls = failing.calls
    assert (given["project"], given["id"], calls) == ("tracked", "run", [1, "finish 0"])
    told = capfd.readouterr().err
    assert told.count("takes no more figures (no route to https://***@host/ with key ***)") == 1


def test_a_failed_training_is_told_to_the_tracker(world, tmp_path, failing):
    spec = TrainSpec.model_validate(asked(world, tmp_path / "run", "wandb"))
    with pytest.raises(ModelError), tracked(spec):
        raise ModelError("the loss is no longer finite")
    assert failing.calls[1:] == ["finish 1"]


def test_a_tracker_that_does_not_start_is_told_without_its_key(world, run, tmp_path, failing):
    def refused(**given):
        raise RuntimeError("api key sesame-open-now was refused\nand more")

    failing.init = refused
    with pytest.raises(ModelError, match=r"could not be started \(api key \*\*\* was refused\)"):
        run(asked(world, tmp_path / "run", "wandb"))


def test_tracking_bears_on_no_id(world, tmp_path):
    specs = [TrainSpec.model_validate(asked(world, tmp_path / "run", name)) for name in ("none", "trackio")]
    assert (
        specs[0].identity()
        == specs[1].identity()
        == TrainSpec.model_validate(world.train_spec(tmp_path / "run", training=TRAINING)).identity()
    )

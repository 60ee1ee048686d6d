"""A record and a name are all that a method needs: one of the test's own is trained, saved and watched."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from nr_core.errors import ModelError
from nr_core.progress import Progress
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, MethodName, MethodSettings
from nr_core.settings.method_table import METHODS, Method, Watched
from nr_core.settings.methods import FIELDS
from nr_core.specs import TrainSpec
from nr_core.training.train import train

REPOSITORY = Path(__file__).parents[3]


def add_scales(model, settings, backbone, new_rows):
    """(IA)³ of PEFT: learned factors of keys, values and the FFN's inner activations."""
    from peft import IA3Config, get_peft_model

    parts = ["k_proj", "v_proj", "down_proj"]
    config = IA3Config(target_modules=parts, feedforward_modules=["down_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def add_scales_and_lose_one(model, settings, backbone, new_rows):
    extended = add_scales(model, settings, backbone, new_rows)
    extended.register_parameter("ia3_lost", nn.Parameter(torch.ones(3)))
    return extended


@pytest.fixture
def spec(world, tmp_path, monkeypatch):
    """A run of two steps by the method `scales`, whose function is given."""

    def of(function):
        about, build = "factors of keys, values and activations", f"{__name__}:{function.__name__}"
        record = Method(about, build, learning_rate=3e-3, fields=frozenset(), watched=Watched("ia3_l"))
        monkeypatch.setitem(METHODS, "scales", record)
        settings = MethodSettings(method="lora").model_copy(update={"method": "scales"})  # no literal of MethodName
        asked = world.train_spec(tmp_path / "run", method={"method": "lora"}, training={"steps": 2})
        (tmp_path / "run").mkdir()
        return TrainSpec.model_validate(asked).model_copy(update={"method": settings})

    return of


def test_a_method_of_ones_own_is_trained_and_loaded(spec, world):
    asked = spec(add_scales)
    train(asked, Progress("train", "run", "steps"))
    model = load_run(BaseSpec(model=str(world.base)), asked.out)
    scales = [parameter for name, parameter in model.named_parameters() if "ia3_l" in name]
    assert len(scales) == 6
    assert all(bool((scale != 1).any()) for scale in scales)
    assert "| method | scales |" in (asked.out / "adapter" / "README.md").read_text()


def test_the_guard_watches_the_tensors_that_the_record_names(spec):
    with pytest.raises(ModelError, match=r"in step 2 1 of 7 tensors .* got no gradient \(ia3_lost is the first\)"):
        train(spec(add_scales_and_lose_one), Progress("train", "run", "steps"))


def test_records_are_whole():
    assert tuple(METHODS) == get_args(MethodName)
    page = (REPOSITORY / "docs" / "methods.md").read_text()
    for name, method in METHODS.items():
        assert callable(method.builder())
        assert method.fields <= FIELDS.keys() and FIELDS.keys() <= MethodSettings.model_fields.keys()
        assert f"`{name}`" in page

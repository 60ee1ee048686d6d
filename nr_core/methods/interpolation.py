"""Interpolation between base and finetuned model: weights base + λ · (finetuned − base), without any training.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), https://arxiv.org/abs/2109.01903.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.runs.build_on_earlier import MODEL_FOLDER
from nr_core.runs.load_run import load_run
from nr_core.runs.model_card import model_card
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import load_tokenizer
from nr_core.training.step_figures import write_steps

INTERPOLATION = "interpolation"  # what run.json and the table of runs call the method


@torch.no_grad()
def interpolate(spec: TrainSpec, finetuned: Path, share: float) -> None:
    """Write model/, steps.parquet (no steps) and run.json: the finetuned run's figures, since its tokens and seconds
    are what the model took, with the share.

    Raises ModelError where the finetuned run's weights are not of the base's shapes.
    """
    model, other = load_base(spec.base), load_run(spec.base, finetuned)
    theirs = dict(other.named_parameters())
    ours = dict(model.named_parameters())
    if {name: p.shape for name, p in ours.items()} != {name: p.shape for name, p in theirs.items()}:
        raise ModelError(
            f"{finetuned} holds weights of other shapes than {spec.base.model}'s; give a run of this base."
        )
    for name, parameter in ours.items():
        parameter.lerp_(theirs[name].to(parameter.dtype), share)
    report = {**json.loads((finetuned / "run.json").read_text()), "method": INTERPOLATION, "share": share}
    with writing(spec.out / MODEL_FOLDER) as partial:
        model.save_pretrained(partial)
        load_tokenizer(spec.base).save_pretrained(partial)
        (partial / "README.md").write_text(model_card(spec.base, report["languages"], report))
    write_steps([], spec.out / "steps.parquet")
    write_json(spec.out / "run.json", report)

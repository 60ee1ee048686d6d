"""Extending a base: base, method, batches, loop, and what is left on the disk."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from nr_core.batches import Batches, Input
from nr_core.embedding_residue import unused_tokens
from nr_core.files import write_json, writing
from nr_core.forgetting import ForgettingBudget, reserve
from nr_core.loop import Loop, write_steps
from nr_core.methods import extend
from nr_core.models import ADAPTER_FOLDER, MODEL_FOLDER, check_vocabulary, device, load_base
from nr_core.progress import Progress
from nr_core.specs import TrainSpec
from nr_core.tokens import TokenStream, load_tokenizer

RUN_FILE = "run.json"  # written last: a run whose run.json stands is finished


def train(spec: TrainSpec, progress: Progress) -> None:
    """Write adapter/ (a PEFT folder) or, for finetune, model/; steps.parquet; run.json.

    Goes on from the last checkpoint in out/checkpoints. Raises ModelError for what the user can mend.
    """
    inputs = [Input(TokenStream.open(source.tokens), source.share, source.role) for source in spec.inputs]
    base = load_base(spec.base)
    for source in inputs:
        check_vocabulary(base, source.stream.vocabulary_size, source.stream.folder)
    torch.manual_seed(spec.seed)
    rows = unused_tokens(inputs) if spec.method.embeddings == "new_rows" else None
    extension = extend(base, spec.method, rows)
    model = extension.model.to(device())
    forgetting = None
    if spec.method.max_forgetting is not None:
        inputs, steering, measuring = reserve(inputs, spec.training.sequence_length)
        forgetting = ForgettingBudget(model, steering, measuring, spec.method.max_forgetting, spec.training)
    loop = Loop(
        model=model,
        batches=Batches(inputs, spec.training.sequence_length, spec.training.batch_size, spec.seed),
        settings=spec.training,
        peak_rate=extension.learning_rate,
        seed=spec.seed,
        folder=spec.out,
        progress=progress,
        taps=extension.taps,
        local_loss=extension.local_loss,
        alpha=extension.alpha,
        # Only a ReLU gate has no gradient where it is shut.
        dead_gate_share=spec.training.dead_gate_share if spec.method.variant("gate") == "relu" else 0.0,
        forgetting=forgetting,
    )
    state = loop.run()

    with writing(spec.out / (MODEL_FOLDER if extension.method.saves_full_model else ADAPTER_FOLDER)) as partial:
        model.save_pretrained(partial)
        if extension.method.saves_full_model:
            load_tokenizer(spec.base).save_pretrained(partial)
    write_steps(state.rows, spec.out / "steps.parquet")
    report: dict[str, Any] = {
        "method": spec.method.method,
        "extra_parameters": extension.extra_parameters,
        "trainable_parameters": extension.trainable_parameters,
        **extension.shares(),
        "learning_rate": extension.learning_rate,
        "alpha": loop.alpha,
        "seconds": state.seconds,
        "peak_memory": state.peak_memory,
        "tokens": state.tokens,
        "steps": state.step,
    }
    if forgetting is not None:
        value, error = forgetting.measured()
        report |= {"forgetting": value, "forgetting_stderr": error, "forgetting_record": forgetting.record}
    write_json(spec.out / RUN_FILE, report)
    shutil.rmtree(spec.out / "checkpoints", ignore_errors=True)

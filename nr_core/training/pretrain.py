"""A small base for whoever has no model at hand: Llama architecture, tied embeddings, trained on the corpora."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from nr_core.base.head import Head
from nr_core.base.load_base import device
from nr_core.base.precision import choose_once
from nr_core.errors import ModelError
from nr_core.files import write_json
from nr_core.progress import Progress
from nr_core.settings import PretrainSettings
from nr_core.specs import PretrainSpec
from nr_core.tokenization.tokenizer import TokenStream, largest_id, load_tokenizer
from nr_core.training.batches import Batches, Input
from nr_core.training.loop import Loop
from nr_core.training.step_figures import write_steps
from nr_core.tuner.budget import Backbone


def pretrain(spec: PretrainSpec, progress: Progress) -> None:
    """Write a Hugging Face model folder with its tokenizer, steps.parquet and model.json to spec.out."""
    inputs = [Input(TokenStream.open(source.tokens), source.share) for source in spec.inputs]
    tokenizer = load_tokenizer(str(spec.tokenizer))
    settings = spec.settings
    for source in inputs:
        if source.stream.vocabulary_size > largest_id(tokenizer) + 1:
            raise ModelError(
                f"{source.stream.folder} holds the token {source.stream.vocabulary_size - 1}, which {spec.tokenizer} "
                "does not know; tokenise the corpus with that tokenizer."
            )
    torch.manual_seed(spec.seed)
    model = _llama(settings, tokenizer)
    model.to(device())
    loop = Loop(
        head=Head(model, choose_once(settings.precision, model, spec.out)),
        batches=Batches(inputs, settings.sequence_length, settings.batch_size, spec.seed),
        settings=settings,
        peak_rate=settings.learning_rate,
        seed=spec.seed,
        folder=spec.out,
        progress=progress,
    )
    state = loop.run()

    model.save_pretrained(spec.out)
    tokenizer.save_pretrained(spec.out)
    write_steps(state.rows, spec.out / "steps.parquet")
    backbone = Backbone.of(model)
    report = {
        "architecture": "llama",
        "parameters": backbone.total,
        "non_embedding_parameters": backbone.non_embedding,
        "learning_rate": settings.learning_rate,
        "seconds": state.seconds,
        "peak_memory": state.peak_memory,
        "tokens": state.tokens,
        "steps": state.step,
    }
    write_json(spec.out / spec.last_file, report)
    shutil.rmtree(spec.out / "checkpoints", ignore_errors=True)


def _llama(settings: PretrainSettings, tokenizer: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=largest_id(tokenizer) + 1,
        hidden_size=settings.hidden_size,
        intermediate_size=ffn_size(settings),
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.sequence_length,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config)


def ffn_size(settings: PretrainSettings) -> int:
    """Return 8/3 of the width, as in Llama, to a multiple of 16."""
    return settings.ffn_size or max(16, round(settings.hidden_size * 8 / 3 / 16) * 16)

"""Text from a base or a run, token by token as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from nr_core.errors import ModelError


@torch.inference_mode()
def stream(
    model: Any,
    tokenizer: Any,
    prompt: str,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[str]:
    """Pieces of the continuation of `prompt`, until the end-of-text token or max_new_tokens.

    temperature 0 takes the likeliest token each time. A piece is held back while its last character is incomplete: a
    byte-level token may end inside one. Raises ModelError for an empty prompt of a tokenizer that opens no text.
    """
    model.eval()
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"].to(model.device)
    if not ids.shape[1]:
        raise ModelError("The prompt is empty; give some text to go on from.")
    draw = torch.Generator(model.device).manual_seed(seed)
    cache, made, told = None, [], ""
    for _ in range(max_new_tokens):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[0, -1].float()
        if temperature > 0:
            chosen = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=draw)
        else:
            chosen = logits.argmax(-1, keepdim=True)
        if int(chosen) == tokenizer.eos_token_id:
            break
        made.append(int(chosen))
        ids = chosen.view(1, 1)
        text = tokenizer.decode(made)
        if not text.endswith("\ufffd"):
            yield text[len(told) :]
            told = text
    if rest := tokenizer.decode(made)[len(told) :]:
        yield rest


def chat_prompt(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    """The conversation as the model's own chat template writes it; of a base that has none, the text as it stands."""
    if tokenizer.chat_template:
        opening = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return str(opening).removeprefix(tokenizer.bos_token or "")
    return "\n".join(turn["content"] for turn in turns)

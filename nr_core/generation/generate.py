"""Text from a base or a run, token by token as it is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from nr_core.base.load_base import context_length
from nr_core.errors import ModelError

SEEN = 16  # tokens of the prompt that are decoded together with its continuation
HELD = 16  # tokens that wait for the rest of a character: one of four bytes ends long before
SAID = "QUESTION"  # stands for what a user says, to see what the template writes around it


class ContextFullError(ModelError):
    """The model has read and written as many tokens as it can."""


@torch.inference_mode()
def stream(
    model: Any,
    tokenizer: Any,
    prompt: str,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[str]:
    """Yield pieces of the continuation of `prompt`, until one of the model's end tokens or max_new_tokens.

    temperature 0 takes the likeliest token each time. A piece is held back while its last character is incomplete: a
    byte-level token may end inside one. Raises ModelError for an empty prompt of a tokenizer that opens no text, for
    one longer than the model's context, and ContextFullError after the last piece that fits.
    """
    model.eval()
    known, longest = prompt_ids(tokenizer, prompt), _longest(model)
    _check_prompt(model, tokenizer, known, longest)
    text, ends = Pieces(tokenizer, known), end_tokens(model, tokenizer)
    if isinstance(prompt, Templated):
        ends |= turn_end(tokenizer)
    whole = ids = torch.tensor([known], device=model.device)
    length = len(known)
    draw = torch.Generator(model.device).manual_seed(seed)
    cache: dict[str, Any] = {}
    for _ in range(max_new_tokens):
        if length == longest:
            yield text.rest()
            raise ContextFullError(
                f"The model's context of {longest} tokens is full, so the text ends here; give a shorter prompt, or "
                "begin anew with its last lines."
            )
        logits, cache = next_logits(model, ids, cache)
        chosen = _choose(logits[0].float(), temperature, draw)
        if int(chosen) in ends:
            break
        whole, length = torch.cat([whole, chosen.view(1, 1)], 1), length + 1
        ids = whole[:, -1:] if cache else whole  # GPT-1 and RecurrentGemma give none to go on from
        if piece := text.add(int(chosen)):
            yield piece
    if rest := text.rest():
        yield rest


# What a model keeps of the tokens it has seen, as its output and input call it: since transformers 5.24, and before.
CACHES = ("cache", "past_key_values")


def next_logits(model: Any, ids: torch.Tensor, cache: dict[str, Any]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the logits (rows, vocabulary) behind some tokens, and the cache to give with the tokens that follow.

    cache: of the tokens before `ids`; empty where there are none, and where the model keeps none.
    """
    output = model(input_ids=ids, use_cache=True, **cache)
    name = next((name for name in CACHES if getattr(output, name, None) is not None), None)
    return output.logits[:, -1], {name: getattr(output, name)} if name else {}


def _check_prompt(model: Any, tokenizer: Any, known: list[int], longest: int | None) -> None:
    """Raise ModelError for a prompt after which nothing can be said, or of which the model does not know a token."""
    if longest is not None and len(known) >= longest:
        raise ModelError(
            f"The prompt is {len(known)} tokens long and the model's context {longest}, which leaves no room for an "
            "answer; shorten the prompt."
        )
    largest, rows = max(known), _rows(model)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"The prompt spells {tokenizer.convert_ids_to_tokens(largest)!r}, a token {largest} that the model has no "
            f"row for: it has {rows}, counted from 0; write the prompt without it."
        )


class Pieces:
    """The text of a growing list of ids. They are decoded behind some that are known already, for a tokenizer of
    SentencePiece's kind takes the space from what it thinks is the first word."""

    def __init__(self, tokenizer: Any, known: list[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = known[-SEEN:]
        self._start, self._told = 0, len(self._ids)

    def add(self, token: int) -> str:
        """Return what this token completes; nothing while a character is incomplete."""
        self._ids.append(token)
        piece = self.rest()
        waits = piece.endswith("\ufffd") and len(self._ids) - self._told < HELD
        if not piece or waits:
            return ""
        self._start, self._told = self._told, len(self._ids)
        return piece

    def rest(self) -> str:
        """Return what has not been told yet."""
        before, now = (self._decode(ids) for ids in (self._ids[self._start : self._told], self._ids[self._start :]))
        return now[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))


class Templated(str):
    """A prompt as a chat template wrote it: the token that opens it, if any, is in it, and no tokenizer adds one."""


def chat_prompt(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    """Return the conversation as the model's own chat template writes it (Templated); of a base that has none, the text
    as it stands.

    What a turn spells as a control
    token (`<|im_end|>`) is text, and gets a space behind its first character: only the template opens and ends turns.
    Raises ModelError where the template refuses the conversation.
    """
    spoken = [{**turn, "content": _without_control(tokenizer, turn)} for turn in turns]
    if not tokenizer.chat_template:
        return "\n".join(turn["content"] for turn in spoken)
    text, refusal = _written(tokenizer, spoken)
    said = next((turn["content"].strip() for turn in reversed(spoken) if turn["role"] == "user"), "")
    if said and said not in text:
        # Of many a vision model the template reads parts, and of plain text it writes nothing at all.
        in_parts, _ = _written(
            tokenizer, [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in spoken]
        )
        if said in in_parts:
            return Templated(in_parts)
    if refusal is not None:
        raise ModelError(
            f"The model's chat template does not take this conversation ({_first_line(refusal)}); use `nr generate`, "
            "or correct chat_template in its tokenizer's folder."
        ) from refusal
    return Templated(text)


def _written(tokenizer: Any, turns: list[dict[str, Any]]) -> tuple[str, Exception | None]:
    """Return what the chat template makes of a conversation, or why it takes none such."""
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)), None
    except (TemplateError, TypeError, ValueError, OverflowError) as error:
        return "", error


def _without_control(tokenizer: Any, turn: dict[str, str]) -> str:
    """Return what is said in a turn, with no control token in it: a special one, or, of a user, one that the template
    writes (a model's own answer may hold those, as </think>)."""
    template = str(tokenizer.chat_template or "") if turn["role"] != "assistant" else ""
    tokens = [token for token in tokenizer.added_tokens_decoder.values() if token.special or token.content in template]
    # Tokens that take the spaces around them are found in spite of those.
    names = {token.content.strip() for token in tokens}
    spelled = [re.escape(name) for name in sorted(names, key=len, reverse=True) if len(name) > 1]
    if not spelled:
        return turn["content"]
    pattern = re.compile("|".join(spelled))
    return pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", turn["content"])


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Return the tokens of a text to go on from: opened as the tokenizer does, never opened twice, never closed."""
    opened = isinstance(prompt, Templated) or (bool(tokenizer.bos_token) and prompt.startswith(tokenizer.bos_token))
    own = _ids(tokenizer, prompt, special=False)
    ids = own if opened else _ids(tokenizer, prompt, special=True)
    if not own:
        ids = ids[: ids.index(tokenizer.bos_token_id) + 1] if tokenizer.bos_token_id in ids else []
    if not ids:
        raise ModelError("The prompt is empty; give some text to go on from.")
    ends = (end for end in range(len(ids), len(own) - 1, -1) if ids[end - len(own) : end] == own)
    return ids[: next(ends, len(ids))] if own else ids


def _ids(tokenizer: Any, text: str, special: bool) -> list[int]:
    return [int(token) for token in tokenizer(text, add_special_tokens=special)["input_ids"]]


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end a text: an instruction-tuned model ends its turns with another than its tokenizer."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return {int(token) for token in [*listed, tokenizer.eos_token_id] if token is not None}


def turn_end(tokenizer: Any) -> set[int]:
    """Return the control token that the chat template closes a turn with, where it is one: a base that was never tuned,
    and many a model whose generation_config was lost, do not name it among those that end a text."""
    _, _, after = chat_prompt(tokenizer, [{"role": "user", "content": SAID}]).partition(SAID)
    known = tokenizer.added_tokens_decoder
    return {token for token in _ids(tokenizer, after, special=False)[:1] if token in known and known[token].special}


def _longest(model: Any) -> int | None:
    return context_length(model.config) if hasattr(model, "config") else None


def _rows(model: Any) -> int | None:
    return model.get_input_embeddings().weight.shape[0] if hasattr(model, "get_input_embeddings") else None


def refuse_not_finite(logits: torch.Tensor) -> None:
    """Raise ModelError for logits (..., vocabulary) of which no next token can be drawn."""
    if not logits.amax(-1).isfinite().all():  # NaN too
        raise ModelError(
            "The model puts out NaN or infinite numbers and no probabilities; its weights are damaged, or it was "
            "trained so."
        )


def _choose(logits: torch.Tensor, temperature: float, draw: torch.Generator) -> torch.Tensor:
    refuse_not_finite(logits)
    if temperature > 0:
        below = (logits - logits.max()).double()  # so that no temperature, however small, makes two of them infinite
        return torch.multinomial(torch.softmax(below / temperature, -1).float(), 1, generator=draw)
    return logits.argmax(-1, keepdim=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

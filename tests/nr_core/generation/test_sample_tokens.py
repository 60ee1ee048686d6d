"""Token streams that a base writes itself: texts, and conversations by a chat template."""

import shutil
from threading import Event

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from nr_core import stopping
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.generation.own_text import Writer, sample_tokens
from nr_core.progress import Progress
from nr_core.settings import BaseSpec
from nr_core.specs import SampleSpec
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer

CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def sample(base, out, tokens=600, seed=0, longest=24):
    spec = {"out": out, "base": {"model": str(base)}, "tokens": tokens, "document_tokens": longest, "seed": seed}
    out.mkdir(exist_ok=True)
    sample_tokens(SampleSpec.model_validate(spec), Progress("sample", "text", "tokens"))
    return TokenStream.open(out)


@pytest.fixture(scope="module")
def chatty(world, tmp_path_factory):
    """The base with a chat template, and with habits in its generation_config."""
    folder = tmp_path_factory.mktemp("chatty") / "base"
    shutil.copytree(world.base, folder)
    tokenizer = load_tokenizer(str(folder))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    GenerationConfig(do_sample=True, top_k=1, repetition_penalty=9.0, max_length=30).save_pretrained(folder)
    return folder


def test_a_stream_is_one_of_a_corpus(world, tmp_path):
    stream = sample(world.base, tmp_path / "text")
    tokenizer = load_tokenizer(str(world.base))
    lengths = [len(stream.content(document)) for document in range(stream.documents)]
    assert sum(lengths) >= 600 and max(lengths) <= 23 and min(lengths) > 0
    assert {int(stream.stream[end - 1]) for end in stream.offsets[1:]} == {tokenizer.eos_token_id}
    texts = [tokenizer.decode(stream.content(document)) for document in range(stream.documents)]
    assert [len(text.encode()) for text in texts] == stream.byte_lengths.tolist()
    assert sum(syllable in " ".join(texts) for syllable in ("ba", "ke", "mi", "so", "tu", "ran")) >= 3
    assert not np.array_equal(stream.stream, sample(world.base, tmp_path / "other", seed=1).stream)


def test_the_same_again_also_after_being_cut_off(world, tmp_path, monkeypatch):
    whole = sample(world.base, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(*given):
        if (tmp_path / "cut" / "batches.jsonl").stat().st_size:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "report", kill)
        with pytest.raises(Killed):
            sample(world.base, tmp_path / "cut")
    with open(tmp_path / "cut" / "batches.jsonl", "a") as file:
        file.write("[[1, 2")
    again = sample(world.base, tmp_path / "cut")
    assert np.array_equal(again.stream, whole.stream) and np.array_equal(again.offsets, whole.offsets)
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [
        "byte_lengths.npy", "offsets.npy", "stream.bin", "tokens.json"
    ]  # fmt: skip


def test_a_batch_tells_how_far_it_is_and_hears_a_stop(world, tmp_path, monkeypatch):
    """Sixteen long documents take minutes on a CPU."""
    told = []
    monkeypatch.setattr(Progress, "report", lambda self, done, total, *rest: told.append((done, total)))
    sample(world.base, tmp_path / "text", tokens=20)
    assert len(told) > 2 and told == sorted(told) and told[0][0] == 16
    assert [total for done, total in told if done == total] == [20]
    monkeypatch.setattr(stopping, "requested", Event())
    stopping.requested.set()
    with pytest.raises(stopping.Stopped):
        sample(world.base, tmp_path / "stopped")


def test_nothing_is_cut_off_the_distribution(world):
    """First tokens of 2,048 texts, by the habits of no generation_config, beside the model's probabilities."""
    writer = Writer(BaseSpec(model=str(world.base)), 2)
    writer.model.generation_config = GenerationConfig(max_length=2)
    drawn = [document[0] for seed in range(128) for document in writer.write(seed)]
    with torch.no_grad():
        expected = load_base(BaseSpec(model=str(world.base)))(torch.tensor([writer.start])).logits[0, -1].softmax(-1)
    found = np.bincount(drawn, minlength=len(expected)) / 2048
    assert np.abs(found - expected.numpy()).sum() < 0.35  # in the mean .2, where the 40 likeliest alone give 1


def test_a_chat_template_gives_conversations(chatty, tmp_path):
    stream = sample(chatty, tmp_path / "chat", longest=30)
    tokenizer = load_tokenizer(str(chatty))
    asks, answers = (list(tokenizer(text)["input_ids"]) for text in ("[user]", "<|endoftext|>[assistant]"))
    for document in range(stream.documents):
        tokens = stream.content(document).tolist()
        assert tokens[: len(asks)] == asks
        at = tokens.index(answers[0])
        assert tokens[at : at + len(answers)] == answers and answers[0] not in tokens[at + 1 :]
        assert at <= len(asks) + (30 - len(asks) - len(answers)) // 2 and len(tokens) <= 30
    assert len({tuple(stream.content(document)) for document in range(stream.documents)}) > stream.documents // 2


def test_a_template_that_leaves_no_room_or_no_place_is_refused(chatty, tmp_path):
    with pytest.raises(ModelError, match=r"of them are its chat template's; give more"):
        Writer(BaseSpec(model=str(chatty)), 4)
    shutil.copytree(chatty, tmp_path / "mute")
    tokenizer = load_tokenizer(str(chatty))
    tokenizer.chat_template = "hello"
    tokenizer.save_pretrained(tmp_path / "mute")
    with pytest.raises(ModelError, match="so it gives no conversations"):
        Writer(BaseSpec(model=str(tmp_path / "mute")), 24)

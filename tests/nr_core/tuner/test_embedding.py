"""Extensions of the embedding: silent at the start, silent on the original's tokens, saved and loaded like adapters."""

import copy
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model

from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Input
from nr_core.training.loss import lm_loss, local_loss
from nr_core.tuner.embedding import unused_tokens, used_tokens
from tests.nr_core.tiny import assert_same, tiny_model

ROWS = [40, 41, 50, 63]
OLD = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))
NEW = torch.tensor([[3, 40, 5, 50, 50, 63], [41, 8, 40, 63, 4, 7]])


def config(embeddings, **options):
    return NeutralResiduesConfig(
        width=8, embeddings=embeddings, new_rows=None if embeddings == "residue" else ROWS, **options
    )


def randomise(model):
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ("embed" in name or "wte" in name):
            torch.nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "gemma3_text", "opt", "gpt_neox"])
@pytest.mark.parametrize("embeddings", ["new_rows", "residue", "gated_rows"])
def test_lives_as_a_peft_method(architecture, embeddings, tmp_path):
    with torch.no_grad():
        base = tiny_model(architecture)(NEW).logits
        model = get_peft_model(tiny_model(architecture), config(embeddings)).eval()
        assert_same(model(NEW).logits, base)  # training must start at the backbone exactly
        randomise(model)
        extended = model(NEW).logits
        assert not torch.allclose(extended, base)
        with model.disable_adapter():
            assert_same(model(NEW).logits, base)
        assert_same(copy.deepcopy(model)(NEW).logits, extended)
        model.save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "adapter_config.json").read_text())
        assert (saved["format_version"], saved["embeddings"]) == (3 if embeddings == "gated_rows" else 2, embeddings)
        assert_same(PeftModel.from_pretrained(tiny_model(architecture), tmp_path).eval()(NEW).logits, extended)
        sparing = PeftModel.from_pretrained(tiny_model(architecture), tmp_path, low_cpu_mem_usage=True)
        assert_same(sparing.eval()(NEW).logits, extended)
        native = tiny_model(architecture)
        native.load_adapter(str(tmp_path))
        assert_same(native.eval()(NEW).logits, extended)  # transformers' own load_adapter must read the same
        settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        assert torch.equal(model.generate(OLD, **settings), model.generate(OLD, use_cache=False, **settings))
        assert_same(model.unload()(NEW).logits, base)


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_rows_of_the_matrices(tied):
    model = get_peft_model(tiny_model("llama", tie_word_embeddings=tied), config("new_rows")).double()
    randomise(model)
    rows = {name: p for name, p in model.named_parameters() if "rows" in name}
    assert len(rows) == (1 if tied else 2)
    plain = tiny_model("llama", tie_word_embeddings=tied).double()
    parts = dict(zip(["embedding", "head"], rows.values(), strict=False))
    with torch.no_grad():
        plain.model.embed_tokens.weight[ROWS] += parts["embedding"]
        if not tied:
            plain.lm_head.weight[ROWS] += parts["head"]
    for tokens in (OLD, NEW):
        torch.testing.assert_close(model(tokens).logits, plain(tokens).logits, rtol=1e-6, atol=1e-9)
        loss = F.cross_entropy(model(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        expected = F.cross_entropy(plain(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        model.zero_grad()
        plain.zero_grad()
        loss.backward()
        expected.backward()
        torch.testing.assert_close(
            parts["embedding"].grad, plain.model.embed_tokens.weight.grad[ROWS], rtol=1e-6, atol=1e-9
        )
        other = [token for token in range(40) if token not in ROWS]
        with torch.no_grad():
            embedded = model.get_input_embeddings()(torch.tensor(other))
        assert torch.equal(embedded, plain.model.embed_tokens(torch.tensor(other)))


def test_the_residue_on_the_embedding_equals_its_formula_and_is_in_the_local_loss():
    model = get_peft_model(tiny_model("llama"), config("residue", layers=[1])).double().train()
    randomise(model)
    tensors = {name: p for name, p in model.named_parameters() if "embed_tokens.neutral_residues" in name}
    w_i, w_g, w_o, w = (
        next(p for name, p in tensors.items() if f"residues_{part}." in name)
        for part in ("in", "glu", "out", "block_gate")
    )
    original = torch.tensor([False, True])
    with find_taps(model).collect() as taps:
        loss = lm_loss(Head(model), NEW, 10)
        loss = loss + local_loss(taps, original.repeat_interleave(5), 5)
        assert set(taps.slots) == {("default", -1), ("default", 1)}
        gradients = torch.autograd.grad(loss, list(tensors.values()))

    plain = tiny_model("llama").double()
    e = plain.model.embed_tokens(NEW[:, :-1])
    x = e / (e.pow(2).mean(-1, keepdim=True) + torch.finfo(e.dtype).eps).sqrt()
    residue = F.relu(x @ w.T) * ((F.silu(x @ w_g.T) * (x @ w_i.T)) @ w_o.T)
    expected = F.cross_entropy(plain(inputs_embeds=e + residue).logits.flatten(0, 1), NEW[:, 1:].flatten())
    size = residue.abs().sum(-1) / x.shape[-1]
    expected = expected + size[original].mean() / 2  # the other layer's residue is zero: its W_o is
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, list(tensors.values())), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("embeddings", ["frozen", "new_rows", "residue", "gated_rows"])
def test_the_embedding_is_resized_only_where_no_adapter_extends_it(embeddings):
    model = get_peft_model(tiny_model("llama"), config(embeddings))
    rows = model.get_input_embeddings().weight.shape[0]
    if embeddings == "frozen":
        model.resize_token_embeddings(rows + 4)
        assert model(OLD).logits.shape[-1] == rows + 4
    else:
        with pytest.raises(ModelError, match="cannot be resized beneath it; resize that of the base"):
            model.resize_token_embeddings(rows + 4)


def stream(tokens):
    values = np.array(tokens)
    return TokenStream(None, values, np.array([0, len(values)]), np.array([len(values)]), 64, None, 0, 0)


def test_gated_rows_are_of_all_tokens_that_the_new_language_uses():
    inputs = [
        Input(stream([5, 7, 9, 9]), 0.9, "new"),
        Input(stream([6]), 0.0, "new"),
        Input(stream([8]), 0.1, "original"),
    ]
    assert used_tokens(inputs) == [5, 6, 7, 9]


def test_rows_are_of_tokens_that_only_the_new_language_uses():
    new, old = Input(stream([5, 6, 7, 9, 9]), 1.0, "new"), Input(stream([5, 8, 9]), 0.0, "original")
    assert unused_tokens([new, old]) == [6, 7]
    with pytest.raises(ModelError, match="add one with the role original"):
        unused_tokens([new])
    with pytest.raises(ModelError, match="finds no token that only the new language uses"):
        unused_tokens([Input(stream([5, 9]), 1.0, "new"), old])


@pytest.mark.parametrize("embeddings", ["new_rows", "residue"])
def test_runs_train_them_on_top_of_the_budget(world, run, tmp_path, embeddings):
    from nr_core.base.load_base import load_base
    from nr_core.runs.load_run import load_run
    from nr_core.settings import BaseSpec

    method = {"method": "neutral_residues", "learning_rate": 1e-2, "embeddings": embeddings, "alpha": 1.0}
    out = run(world.train_spec(tmp_path / "run", method=method))
    plain = run(world.train_spec(tmp_path / "plain", method={**method, "embeddings": "frozen"}))
    extra = [json.loads((folder / "run.json").read_text())["extra_parameters"] for folder in (out, plain)]
    assert extra[0] > extra[1]
    base = BaseSpec(model=str(world.base))
    trained = load_run(base, out)
    tokens = torch.from_numpy(TokenStream.open(world.new).stream[:20].astype(np.int64)).unsqueeze(0)
    embedded = trained.get_input_embeddings()(tokens)
    assert not torch.equal(embedded, load_base(base).get_input_embeddings()(tokens))

"""Gated rows: the formula, its part in the local loss, and silence where the gates are shut."""

import pytest
import torch
import torch.nn.functional as F
from peft import get_peft_model

from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig, find_taps, skip_closed_gates
from nr_core.settings import MethodSettings
from nr_core.training.loss import lm_loss, local_loss
from nr_core.training.trimmed_vocabulary import Vocabulary
from tests.nr_core.tiny import assert_same, tiny_model

ROWS = [4, 9, 40, 41, 50, 63]
TOKENS = torch.tensor([[3, 40, 5, 50, 9, 63, 4], [41, 8, 4, 63, 4, 7, 30]])


def extended(architecture="llama", seed=1, **options):
    """With weights that are not zero, in double."""
    settings = {"width": 8, "embeddings": "gated_rows", "new_rows": ROWS, **options}
    model = get_peft_model(tiny_model(architecture), NeutralResiduesConfig(**settings)).double()
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5 if "rows" in name else 0.2)
    return model.eval()


def parts(model):
    held = {
        name.split(".neutral_residues_")[1]: p for name, p in model.named_parameters() if "embed_tokens.neu" in name
    }
    return [held[f"gated_{part}.default.weight"] for part in ("rows", "rows_gate", "head_rows", "head_gate")]


def reference(model, tokens):
    """Logits of the base with both kinds of rows, and the sizes of the two residues, each by its formula."""
    plain, (e, w, rows, v) = tiny_model("llama").double().eval(), parts(model)
    table = torch.zeros(64, e.shape[1], dtype=e.dtype).index_copy(0, torch.tensor(ROWS), e)
    sizes = []

    def add(module, args, output):
        residue = F.relu(args[0] @ w.T) * table[tokens]
        sizes.append(residue.abs().mean(-1))
        return output + residue

    def score(module, args, output):
        gate, more = F.relu(args[0] @ v.T), args[0] @ rows.T
        sizes.append(gate.squeeze(-1) * more.square().mean(-1).sqrt())
        return output.index_add(-1, torch.tensor(ROWS), gate * more)

    plain.model.layers[0].mlp.register_forward_hook(add)
    plain.lm_head.register_forward_hook(score)
    return plain(tokens).logits, sizes


def silence_ffns(model):
    for name, parameter in model.named_parameters():
        if "neutral_residues_out" in name:
            torch.nn.init.zeros_(parameter)


def test_logits_and_local_loss_are_the_formula_and_so_are_gradients():
    model = extended().train()
    silence_ffns(model)
    original = torch.tensor([False, True])
    with find_taps(model).collect() as taps:
        loss = lm_loss(Head(model), TOKENS, 12)
        loss = loss + local_loss(taps, original.repeat_interleave(6), 6)
        assert [layer for _, layer in taps.slots] == [-1, 0, 1, 2]
        gradients = torch.autograd.grad(loss, parts(model))
    logits, sizes = reference(model, TOKENS[:, :-1])
    expected = F.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten())
    expected = expected + sum(size[original].mean() for size in sizes) / 4
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, parts(model)), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-7)  # sizes of the head are taken in fp32


@torch.no_grad()
@pytest.mark.parametrize("mode", ["always", "never"])
def test_inference_leaves_closed_gates_out_and_says_the_same(mode):
    model = extended()
    silence_ffns(model)
    skip_closed_gates(model, mode)
    assert_same(model(TOKENS).logits, reference(model, TOKENS)[0])


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "opt"])
def test_tokens_with_shut_gates_are_the_bases_to_the_bit(architecture):
    model = extended(architecture)
    base = tiny_model(architecture).double().eval()
    for name, parameter in model.named_parameters():
        if "gate" in name and parameter.requires_grad:
            parameter.zero_()  # φ(0) = 0
    assert torch.equal(model(TOKENS).logits, base(TOKENS).logits)


@torch.no_grad()
def test_a_batch_may_mix_it_with_the_base():
    model = extended()
    mixed = model(TOKENS, adapter_names=["default", "__base__"]).logits
    assert_same(mixed[0], model(TOKENS).logits[0])
    with model.disable_adapter():
        assert_same(mixed[1], model(TOKENS).logits[1])


@torch.no_grad()
def test_a_trimmed_vocabulary_keeps_its_rows():
    model = extended()
    whole = model(TOKENS).logits
    tokens = torch.tensor(sorted({*TOKENS.flatten().tolist(), *ROWS}))
    place = torch.full((64,), -1).index_copy(0, tokens, torch.arange(len(tokens)))
    vocabulary = Vocabulary(tokens.numpy(), place.numpy(), None)
    base = model.get_base_model()
    embedding, head = base.get_input_embeddings().base_layer, base.get_output_embeddings()
    vocabulary.trim(model, [embedding, head])
    assert_same(model(place[TOKENS]).logits, whole[..., tokens])


def test_it_says_what_it_needs():
    model = extended()
    with torch.no_grad(), pytest.raises(ModelError, match="call it with input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, model.config.hidden_size, dtype=torch.double))
    with pytest.raises(ModelError, match="gate is none"):
        NeutralResiduesConfig(width=8, embeddings="gated_rows", new_rows=ROWS, gate="none")
    with pytest.raises(ValueError, match="gated_rows stand behind gates"):
        MethodSettings(method="neutral_residues", embeddings="gated_rows", gate="none")
    with pytest.raises(ValueError, match="gated_rows is not for adapter"):
        MethodSettings(method="adapter", embeddings="gated_rows")

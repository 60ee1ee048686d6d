"""What users do with an adapter: compile, merge, cast it, mix several in one batch, train it in a loop of their own."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.training.loss import local_loss
from tests.nr_core.tiny import assert_same, tiny_model

TOKENS = torch.randint(3, 64, (3, 7), generator=torch.Generator().manual_seed(2))


def extended(architecture="llama", **config):
    model = get_peft_model(tiny_model(architecture), NeutralResiduesConfig(width=8, task_type="CAUSAL_LM", **config))
    return randomise(model).eval()


def randomise(model, seed=1):
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@torch.no_grad()
@pytest.mark.parametrize("embeddings", ["frozen", "residue"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "olmo2", "opt", "exaone4"])
@pytest.mark.slow
def test_compiles_in_one_graph_where_the_base_does(architecture, embeddings):
    torch._dynamo.reset()
    model = extended(architecture, embeddings=embeddings)
    expected = model(TOKENS, use_cache=False).logits
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_same(compiled(TOKENS, use_cache=False).logits, expected)


@torch.no_grad()
def test_an_adapter_without_a_gate_is_merged_and_unmerged(tmp_path):
    model = extended("qwen3", gate="none")
    model.add_adapter("other", NeutralResiduesConfig(width=4, gate="none"))
    randomise(model)
    model.base_model.set_adapter(["default", "other"])
    expected, base = model(TOKENS).logits, tiny_model("qwen3")(TOKENS).logits
    model.merge_adapter()
    assert_same(model(TOKENS).logits, expected)
    model.unmerge_adapter()
    assert_same(model(TOKENS).logits, expected)
    model.merge_adapter(["other"])
    assert_same(model(TOKENS).logits, expected)  # what was not merged goes on beside
    with model.disable_adapter():
        assert_same(model(TOKENS).logits, base)
    merged = model.merge_and_unload(safe_merge=True)
    assert_same(merged(TOKENS).logits, expected)
    merged.save_pretrained(tmp_path)
    assert_same(AutoModelForCausalLM.from_pretrained(tmp_path).eval()(TOKENS).logits, expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [({}, "A gate depends on the token"), ({"gate": "none", "layers": [1]}, "1 of 2 layers"),
     ({"gate": "none", "embeddings": "residue"}, "extends the embedding")],
)  # fmt: skip
def test_what_cannot_be_merged_is_left_as_it_was(config, message):
    model = extended(**config)
    with torch.no_grad():
        expected = model(TOKENS).logits
        with pytest.raises(ModelError, match=message):
            model.merge_and_unload()
        assert torch.equal(model(TOKENS).logits, expected)


def test_weights_that_are_not_finite_are_not_merged_safely():
    model = extended(gate="none")
    next(p for n, p in model.named_parameters() if "residues_out" in n).data.fill_(float("inf"))
    with pytest.raises(ModelError, match="not finite"):
        model.merge_and_unload(safe_merge=True)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["llama", "olmo2", "opt"])
@pytest.mark.parametrize("embeddings", [{}, {"embeddings": "residue"}, {"embeddings": "new_rows", "new_rows": [5, 9]}])
def test_every_row_of_a_batch_has_its_own_adapter(architecture, embeddings):
    model = extended(architecture, **embeddings)
    model.add_adapter("other", NeutralResiduesConfig(width=4, gate="elu", layers=[1]))
    randomise(model)
    names = ["other", "__base__", "default"]
    mixed = model(input_ids=TOKENS, adapter_names=names).logits
    generated = model.generate(input_ids=TOKENS, adapter_names=names, max_new_tokens=3, num_beams=2, do_sample=False)
    for row, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                expected = model(TOKENS[row : row + 1]).logits
        else:
            model.set_adapter(name)
            expected = model(TOKENS[row : row + 1]).logits
        assert_same(mixed[row : row + 1], expected)
    assert generated.shape[0] == 3
    with pytest.raises(ModelError, match="no adapter 'missing'; choose among default, other"):
        model(input_ids=TOKENS, adapter_names=["missing"] * 3)
    if architecture != "opt":  # whose FFN sees the tokens of all rows as one
        for wrong in (names[:1], [*names, "other"]):
            with pytest.raises(ModelError, match=f"{len(wrong)} names for 3 rows"):
                model(TOKENS, adapter_names=wrong)
    with pytest.raises(ModelError, match="for inference"):
        model.train()(input_ids=TOKENS, adapter_names=names)


def test_adapters_are_not_averaged():
    model = extended()
    model.add_adapter("other", NeutralResiduesConfig(width=8))
    with pytest.raises(ModelError, match="no adapter is the average"):
        model.add_weighted_adapter(["default", "other"], [0.5, 0.5], "mean")


@pytest.mark.parametrize("autocast", [True, False])
def test_adapters_have_the_dtype_that_lora_has(autocast):
    dtypes = []
    for config in (NeutralResiduesConfig(width=8), LoraConfig(target_modules=["q_proj"])):
        base = tiny_model("llama").to(torch.bfloat16)
        model = get_peft_model(base, config, autocast_adapter_dtype=autocast)
        dtypes.append({p.dtype for p in model.parameters() if p.requires_grad})
        assert model(TOKENS).logits.dtype == torch.bfloat16
    assert dtypes[0] == dtypes[1] == {torch.float32 if autocast else torch.bfloat16}


@pytest.mark.parametrize("with_blocks", [False, True])
def test_the_local_loss_in_a_loop_of_ones_own_with_gradient_checkpointing(with_blocks):
    """backward() comes after collect() is closed, as in transformers' Trainer."""
    gradients = []
    for checkpointing in (None, {"use_reentrant": False}):
        model = extended("gemma2").train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing)
        taps = find_taps(model)
        taps.with_blocks = with_blocks
        original = torch.arange(TOKENS.numel()) % 2 == 0
        for _ in range(2):  # a pass that is not measured lies between
            with taps.collect():
                loss = model(input_ids=TOKENS, labels=TOKENS, use_cache=False).loss
                kind = "relative_l1" if with_blocks else "l1"
                loss = loss + local_loss(taps, original, int(original.sum()), kind)
            loss.backward()
            assert not taps.slots
            model(input_ids=TOKENS, labels=TOKENS, use_cache=False).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
    assert_same(gradients[1], gradients[0])

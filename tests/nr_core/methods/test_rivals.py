"""Ways to keep what a base knows that neutral residues are held against: what is trained, and by which formula."""

import json

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import DbrxConfig, DbrxForCausalLM, Llama4ForCausalLM, Llama4TextConfig

from nr_core import stopping
from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.methods.weight_rules import L2ToBase, MovingAverage, feature_norms, most_important
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, MethodSettings
from nr_core.tuner.budget import Backbone
from tests.nr_core.architectures import tiny
from tests.nr_core.tiny import tiny_model

TOKENS = torch.arange(3, 23).view(2, 10)


def trained(method, new_rows=None, tied=True, **changes):
    model = tiny_model("llama", num_hidden_layers=4, tie_word_embeddings=tied)
    extended = extend(model, MethodSettings(method=method, **changes), new_rows)
    return extended, {name: p for name, p in extended.model.named_parameters() if p.requires_grad}


def test_lora_of_some_layers_spends_the_same_budget_and_a_rank_is_taken_as_it_is():
    everywhere, _ = trained("lora")
    outer, names = trained("lora", layers=[0, 3])
    assert {name.split("layers.")[1][0] for name in names} == {"0", "3"}
    assert outer.extra_parameters == pytest.approx(everywhere.extra_parameters, rel=0.1)
    for method in ("lora", "dora"):
        _, names = trained(method, rank=3)
        assert {p.shape[0] for name, p in names.items() if "lora_A" in name} == {3}
    with pytest.raises(ModelError, match="has no layer 4: its 4 layers are 0 to 3"):
        trained("lora", layers=[4])


def test_lora_leaves_a_router_alone_that_is_a_linear_layer_by_name():
    """Llama 4's gives back two tensors; the experts beside it have a LoRA."""
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "intermediate_size_mlp": 32, "head_dim": 16}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 4}
    model = extend(Llama4ForCausalLM(Llama4TextConfig(**sizes, **heads)), MethodSettings(method="lora")).model
    targets = model.peft_config["default"]
    assert any("experts" in name for name in targets.target_parameters)
    assert not any("router" in name for name in targets.target_modules)
    assert model(TOKENS).logits.shape == (2, 10, 64)


def test_lora_that_would_leave_the_experts_alone_is_refused():
    """DBRX holds those of a layer in one flat matrix (experts · d', d)."""
    attention = {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 1e4}
    ffn = {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2}
    sizes = {"d_model": 32, "n_heads": 2, "n_layers": 2, "max_seq_len": 64, "vocab_size": 64}
    model = DbrxForCausalLM(DbrxConfig(**sizes, attn_config=attention, ffn_config=ffn))
    for method in ("lora", "dora"):
        with pytest.raises(ModelError, match="LoRA would not reach most of the model's weights, which lie in"):
            extend(model, MethodSettings(method=method))


def test_lora_on_a_model_that_peft_refuses_is_a_sentence():
    with pytest.raises(ModelError, match=r"PEFT puts no LoRA on this model \(.*out_proj"):
        extend(tiny("falcon_h1"), MethodSettings(method="lora"))


@pytest.mark.parametrize("tied", [True, False])
def test_lora_trains_the_rows_of_tokens_that_only_the_new_language_has(tied):
    extended, names = trained("lora", [5, 40], tied, embeddings="new_rows")
    rows = {name: p for name, p in names.items() if "lora" not in name}
    assert [tuple(p.shape) for p in rows.values()] == [(2, 32)] * (1 if tied else 2)
    plain = tiny_model("llama", num_hidden_layers=4, tie_word_embeddings=tied)
    torch.testing.assert_close(extended.model(TOKENS).logits, plain(TOKENS).logits)
    for p in rows.values():
        p.data.add_(1.0)
    changed, before = extended.model(TOKENS + 20).logits, plain(TOKENS + 20).logits  # 40 is among them
    others = [token for token in range(64) if token not in (5, 40)]
    assert not torch.allclose(changed[1], before[1])
    safe = TOKENS[:1] + 3  # neither 5 nor 40
    torch.testing.assert_close(extended.model(safe).logits[..., others], plain(safe).logits[..., others])


def test_finetuning_of_some_layers_and_of_a_random_half():
    _, names = trained("finetune", layers=[1, 2])
    assert {name.split(".")[1:3][-1] for name in names} == {"1", "2"} and len(names) == 2 * 9
    _, with_tables = trained("finetune", layers=[1, 2], embeddings="trained")
    assert "model.embed_tokens.weight" in with_tables.keys() - names.keys()

    def half(seed):
        model = tiny_model("llama", num_hidden_layers=4)
        torch.manual_seed(seed)
        extend(model, MethodSettings(method="finetune", freeze="random_half"))
        return {name for name, p in model.named_parameters() if p.requires_grad and "layers." in name}

    assert half(0) == half(0) != half(1)
    kinds = [name.split(".", 3)[3] for name in half(0)]
    assert all(kinds.count(kind) == 2 for kind in kinds) and len(set(kinds)) == 9


def test_a_shielded_column_is_chosen_by_the_formula_and_keeps_its_values(world, run, tmp_path):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(6, 3, bias=False), torch.randn(50, 6) * torch.tensor([1.0, 9, 1, 9, 1, 9])
    norms = x.square().sum(0).sqrt()
    scores = [sum(abs(float(w)) for w in layer.weight[:, j]) * float(norms[j]) for j in range(6)]
    best = sorted(sorted(range(6), key=lambda j: -scores[j])[:3])
    assert most_important(layer.weight, norms).tolist() == best
    spec = world.train_spec(
        tmp_path / "run", method={"method": "finetune", "freeze": "source_shielded", "learning_rate": 1e-2, "ema": 0.5}
    )
    before, after = load_base(BaseSpec(model=str(world.base))), load_run(BaseSpec(model=str(world.base)), run(spec))
    for (name, old), (_, new) in zip(before.named_parameters(), after.named_parameters(), strict=True):
        if "layers." in name and old.dim() == 2:
            same = (old == new).all(0)
            assert same.sum() == old.shape[1] // 2, name
        else:
            assert not torch.equal(old, new), name
    spec["inputs"] = [{**spec["inputs"][0], "share": 1.0}]
    with pytest.raises(ValidationError, match="source_shielded chooses what to keep by original-language text"):
        run(spec)


def test_what_features_were_is_summed_over_all_tokens():
    head = Head(tiny_model("llama", num_hidden_layers=2).train())
    seen = []
    hook = head.model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    found = feature_norms(head, TOKENS)[head.model.model.layers[1].mlp.down_proj]
    hook.remove()
    torch.testing.assert_close(found, torch.cat([x.flatten(0, 1) for x in seen]).norm(dim=0))
    assert head.model.training and len(seen) == 2


def test_l2_to_base_is_the_gradient_of_the_formula():
    torch.manual_seed(0)
    start, weight = torch.randn(3, 4), 0.3
    parameter = torch.nn.Parameter(start + torch.randn(3, 4))
    loss = parameter.sin().sum()
    (expected,) = torch.autograd.grad(loss + weight / 2 * (parameter - start).square().sum(), parameter)
    parameter.sin().sum().backward()
    L2ToBase({"w": parameter}, {"w": start}, weight).before_step()
    torch.testing.assert_close(parameter.grad, expected)


def test_the_average_is_that_of_the_formula():
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    rule, expected = MovingAverage({"w": parameter}, 0.9), 1.0
    for value in (3.0, -2.0, 5.0):
        parameter.data.fill_(value)
        rule.after_step()
        expected = 0.9 * expected + 0.1 * value
    rule.finish()
    assert parameter.item() == pytest.approx(expected)


def distance(world, run):
    base = load_base(BaseSpec(model=str(world.base))).state_dict()
    weights = load_file(run / "model" / "model.safetensors")
    return sum((tensor - base[name]).square().sum().item() for name, tensor in weights.items()) ** 0.5


def test_runs_stay_nearer_by_weights_and_resuming_keeps_the_average(world, run, tmp_path, monkeypatch):
    def finetuned(name, **changes):
        method = {"method": "finetune", "learning_rate": 3e-3, **changes}
        return run(world.train_spec(tmp_path / name, method=method))

    plain = distance(world, finetuned("plain"))
    assert distance(world, finetuned("l2", l2_to_base=10.0)) < 0.8 * plain
    average = finetuned("ema", ema=0.9)
    assert distance(world, average) < 0.8 * plain
    calls = []

    def stop_after_seven(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 7:
            stopping.requested.set()

    with monkeypatch.context() as patch:
        patch.setattr("nr_core.progress.Progress.report", stop_after_seven)
        with pytest.raises(stopping.Stopped):
            finetuned("stopped", ema=0.9)
    stopping.requested.clear()
    again, whole = (load_file(out / "model" / "model.safetensors") for out in (finetuned("stopped", ema=0.9), average))
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_lora_with_rows_is_trained_saved_and_goes_on(world, run, tmp_path):
    method = {"method": "lora", "embeddings": "new_rows", "rank": 2, "learning_rate": 1e-2}
    first = run(world.train_spec(tmp_path / "first", method=method))
    base = BaseSpec(model=str(world.base))
    held, plain = load_run(base, first), load_base(base)
    assert not torch.allclose(held(TOKENS).logits, plain(TOKENS).logits)
    on = run(world.train_spec(tmp_path / "on", method=method, start_from=str(first)))
    assert not torch.allclose(load_run(base, on)(TOKENS).logits, held(TOKENS).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_a_lora_with_rows_is_one_of_plain_peft_and_can_be_merged(tied, tmp_path):
    """What PEFT's trainable_token_indices reads, as do servers that know them; merged, any server of the base does."""
    extended, names = trained("lora", [5, 40], tied, embeddings="new_rows", rank=2)
    for p in names.values():
        torch.nn.init.normal_(p.data, std=0.2)
    expected = extended.model.eval()(TOKENS + 20).logits
    extended.model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["peft_type"] == "LORA" and next(iter(saved["trainable_token_indices"].values())) == [5, 40]
    assert any(name.endswith("embed_tokens.token_adapter.trainable_tokens_delta") for name in saved_names(tmp_path))
    base = tiny_model("llama", num_hidden_layers=4, tie_word_embeddings=tied)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    torch.testing.assert_close(loaded(TOKENS + 20).logits, expected)
    torch.testing.assert_close(loaded.merge_and_unload()(TOKENS + 20).logits, expected)


def saved_names(folder):
    return list(load_file(folder / "adapter_model.safetensors"))


def test_a_point_between_base_and_finetuned_model(world, run, tmp_path):
    method = {"method": "finetune", "learning_rate": 1e-2}
    finetuned = run(world.train_spec(tmp_path / "finetuned", method=method))
    changes = {"method": {**method, "interpolate": [0.25]}, "interpolate_from": str(finetuned)}
    point = run(world.train_spec(tmp_path / "point", **changes))
    base = load_base(BaseSpec(model=str(world.base))).state_dict()
    end, between = (load_file(folder / "model" / "model.safetensors") for folder in (finetuned, point))
    assert between.keys() == end.keys()
    for name, tensor in between.items():
        torch.testing.assert_close(tensor, 0.75 * base[name] + 0.25 * end[name])
    facts = json.loads((point / "run.json").read_text())
    assert (facts["method"], facts["share"], facts["steps"]) == ("interpolation", 0.25, 12)
    assert load_run(BaseSpec(model=str(world.base)), point)(TOKENS).logits.isfinite().all()
    assert "# Interpolation" in (point / "model" / "README.md").read_text()
    with pytest.raises(ValidationError, match="it with one share in method"):
        run(world.train_spec(tmp_path / "none", method=changes["method"]))


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("lora", {"rank": 4, "budget": 0.2}, "rank: the budget gives the rank"),
        ("lora", {"embeddings": "residue"}, "residue is not for lora; choose frozen or new_rows"),
        ("finetune", {"rank": 4}, "has no matrices of a low rank"),
        ("finetune", {"freeze": "random_half", "layers": [0]}, "freeze: layers says already"),
        ("lora", {"interpolate": [0.5]}, "interpolate: lora is not finetuning"),
        ("finetune", {"interpolate": [0.5, 0.5]}, "give each share once"),
        ("lora", {"ema": 0.9}, "ema: lora leaves the base frozen"),
        ("neutral_residues", {"l2_to_base": 0.1}, "l2_to_base: neutral_residues leaves the base frozen"),
        ("llama_pro", {"freeze": "random_half"}, "freeze: llama_pro leaves the base frozen"),
    ],
)
def test_contradictions_are_refused(method, changes, message):
    with pytest.raises(ValidationError, match=message):
        MethodSettings(method=method, **changes)


def test_the_rank_that_is_matched_is_that_of_before():
    extended, names = trained("lora")
    backbone = Backbone.of(tiny_model("llama", num_hidden_layers=4))
    wanted = backbone.adapter_parameters(backbone.adapter_width(0.2, "non_embedding"))
    of_rank_one = sum(sum(p.shape) for name, p in names.items() if "lora_B" in name)
    assert abs(extended.extra_parameters - wanted) <= of_rank_one

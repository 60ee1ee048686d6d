"""Training on the rows that its text needs: the same logits, and what is saved fits the whole base."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from nr_core import stopping
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer, train_tokenizer
from nr_core.training.trimmed_vocabulary import Vocabulary, tables_of
from tests.nr_core.tiny import assert_same, invented_text, tiny_model, write_shard

KEPT = np.array([0, 1, 2, 5, 9, 17, 33, 40, 63])


def of(tokens, rows, tokenizer=None):
    place = np.full(rows, -1)
    place[tokens] = np.arange(len(tokens))
    return Vocabulary(tokens, place, tokenizer)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gemma3_text", "phi", "bloom", "cohere"])
def test_the_logits_are_the_kept_columns(architecture, tied):
    whole = tiny_model(architecture, tie_word_embeddings=tied)
    cut = copy.deepcopy(whole)
    of(KEPT, 64).trim(cut, tables_of(cut))
    assert cut.get_input_embeddings().weight.shape[0] == len(KEPT)
    weights = [table.weight for table in tables_of(cut)]
    assert (weights[0] is weights[1]) == (tables_of(whole)[0].weight is tables_of(whole)[1].weight)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, len(KEPT), (3, 12)))
    with torch.no_grad():
        assert_same(cut(tokens).logits, whole(torch.from_numpy(KEPT)[tokens]).logits[..., KEPT])


def test_a_model_with_a_table_in_every_layer_is_refused():
    options = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64}
    model = tiny_model("gemma4_text", **options)
    with pytest.raises(ModelError, match="in more tables than its embedding and its output head"):
        of(KEPT, 64).trim(model, tables_of(model))


def test_text_that_needs_a_token_which_is_not_kept_is_refused_by_its_name_and_place(world, tmp_path):
    stream, tokenizer = TokenStream.open(world.held_out), load_tokenizer(str(world.tokenizer))
    used = np.flatnonzero(stream.used())
    at = int(stream.offsets[2]) + 7
    lacking = int(stream.stream[at])
    first = int(np.flatnonzero(np.asarray(stream.stream) == lacking)[0])
    document = int(np.searchsorted(stream.offsets, first, side="right")) - 1
    spelled = tokenizer.convert_ids_to_tokens(lacking)
    with pytest.raises(ModelError) as refused:
        of(used[used != lacking], 300, tokenizer).renumber(stream, tmp_path)
    number = first - int(stream.offsets[document]) + 1
    place = f"needs the token {lacking} ({spelled!r}, the {number}th of its document {document})"
    assert f"{world.held_out} {place}" in str(refused.value)
    renumbered = of(used, 300).renumber(stream, tmp_path)
    assert np.array_equal(used[renumbered.stream], stream.stream)
    assert not list(tmp_path.iterdir())


TIED = {True: "tied", False: "untied"}
SMALL = {"steps": 3, "batch_size": 4, "sequence_length": 16, "log_every": 1}


def kept_of(root, model):
    streams = [TokenStream.open(root / f"tokens-{name}") for name in ("old", "new")]
    return Vocabulary.of(streams, load_tokenizer(str(root / "tokenizer")), model, 400)


def write_renumbered(kept, source, out):
    shutil.copytree(source, out)
    stream = kept.renumber(TokenStream.open(source), out)
    np.asarray(stream.stream).tofile(out / "stream.bin")
    names = ("vocabulary_size", "opening_token", "end_of_text_token", "context_token")
    (out / "tokens.json").write_text(json.dumps({"dtype": "uint16", **{name: getattr(stream, name) for name in names}}))


@pytest.fixture(scope="module")
def wide(world, tmp_path_factory):
    """The two languages under a tokenizer that knows a third one, in capitals, whose entries lie between theirs."""
    root = tmp_path_factory.mktemp("wide")
    texts = {name: invented_text(name, 60) for name in ("old", "new")}
    shards = {name: write_shard(root / f"{name}.parquet", written) for name, written in texts.items()}
    third = write_shard(root / "third.parquet", [text.upper() for text in texts["old"]])
    train_tokenizer([[shards["old"]], [shards["new"]], [third]], [0.4, 0.2, 0.4], 400, root / "tokenizer")
    for name, shard in shards.items():
        tokenize([shard], str(root / "tokenizer"), root / f"tokens-{name}")
    for tied, name in TIED.items():
        model = tiny_model("llama", tie_word_embeddings=tied, vocab_size=400)
        model.save_pretrained(root / name)
        kept = kept_of(root, model)
        kept.trim(model, tables_of(model))
        model.config.vocab_size = len(kept.tokens)
        model.save_pretrained(root / f"narrow-{name}")
        for folder in (root / name, root / f"narrow-{name}"):
            load_tokenizer(str(root / "tokenizer")).save_pretrained(folder)
    for name in shards:
        write_renumbered(kept, root / f"tokens-{name}", root / f"narrow-tokens-{name}")
    return replace(world, root=root, base=root / "tied", new=root / "tokens-new", old=root / "tokens-old")


def spec_of(wide, out, method, vocabulary="trimmed", tied=True, **changes):
    spec = wide.train_spec(out, method={"learning_rate": 1e-2, **method}, training=SMALL, **changes)
    return {**spec, "base": {"model": str(wide.root / TIED[tied]), "vocabulary": vocabulary}}


def narrow_spec_of(wide, out, method, tied):
    """The same run on a base that never had the other rows."""
    spec = spec_of(wide, out, method, "full", tied)
    spec["base"]["model"] = str(wide.root / f"narrow-{TIED[tied]}")
    for source, name in zip(spec["inputs"], ("new", "old"), strict=True):
        source["tokens"] = str(wide.root / f"narrow-tokens-{name}")
    return spec


RUNS = [
    ({"method": "neutral_residues", "embeddings": "new_rows", "kl_to_base": 0.1}, False),
    ({"method": "lora", "embeddings": "new_rows"}, True),
    ({"method": "finetune", "l2_to_base": 0.1, "ema": 0.9, "kl_to_base": 0.1}, True),
    ({"method": "llama_pro"}, False),
]


@pytest.mark.parametrize(("method", "tied"), RUNS, ids=lambda part: str(part))
def test_it_trains_as_a_base_without_the_other_rows_and_fits_the_whole_one(wide, run, tmp_path, method, tied):
    out = run(spec_of(wide, tmp_path / "run", method, tied=tied))
    narrow = run(narrow_spec_of(wide, tmp_path / "narrow", method, tied))
    rows, expected = (pq.read_table(folder / "steps.parquet").to_pylist() for folder in (out, narrow))
    for row, other in zip(rows, expected, strict=True):
        for name in ("lm_loss", "local_loss", "kl_loss", "grad_norm"):
            assert (row[name] or 0) == pytest.approx(other[name] or 0, rel=1e-4), name

    base = BaseSpec(model=str(wide.root / TIED[tied]))
    model, other = load_run(base, out).eval(), load_run(BaseSpec(model=str(wide.root / f"narrow-{TIED[tied]}")), narrow)
    kept = kept_of(wide.root, model)
    places = torch.from_numpy(np.random.default_rng(0).integers(0, len(kept.tokens), (2, 12)))
    tokens = torch.from_numpy(kept.tokens)[places]
    with torch.no_grad():
        logits = model(tokens).logits
        assert logits.shape[-1] == 400 and not torch.allclose(logits, load_base(base)(tokens).logits)
        assert_same(logits[..., kept.tokens], other.eval()(places).logits)
    if (out / "model").is_dir():
        for mine, theirs in zip(tables_of(model), tables_of(load_base(base)), strict=True):
            assert torch.equal(mine.weight[kept.place < 0], theirs.weight[kept.place < 0])


def test_rows_of_new_tokens_are_saved_by_the_tokenizers_ids_and_gone_on_with(wide, run, tmp_path):
    method = {"method": "neutral_residues", "embeddings": "new_rows"}
    rows, runs = [], {name: run(spec_of(wide, tmp_path / name, method, name)) for name in ("full", "trimmed")}
    for out in runs.values():
        rows.append(json.loads((out / "adapter" / "adapter_config.json").read_text())["new_rows"])
    assert rows[0] == rows[1] and max(rows[0]) >= len(kept_of(wide.root, torch.nn.Module()).tokens)
    further = run(spec_of(wide, tmp_path / "further", method, start_from=str(runs["full"])))
    beside = run(spec_of(wide, tmp_path / "beside", method, add_to=str(runs["full"])))
    losses = [pq.read_table(out / "steps.parquet")["lm_loss"].to_pylist() for out in (runs["full"], further, beside)]
    assert all(later[0] < losses[0][0] - 0.01 for later in losses[1:])


def test_a_stop_and_a_second_start_are_seen_in_no_bit(wide, run, tmp_path, monkeypatch):
    undisturbed = run(spec_of(wide, tmp_path / "undisturbed", {"method": "finetune"}))
    spec = spec_of(wide, tmp_path / "stopped", {"method": "finetune"})
    with monkeypatch.context() as patch:
        patch.setattr("nr_core.progress.Progress.report", lambda *given: stopping.requested.set())
        with pytest.raises(stopping.Stopped):
            run(spec)
    stopping.requested.clear()
    (checkpoint,) = (tmp_path / "stopped" / "checkpoints").iterdir()
    assert checkpoint.name == "step-00000001"
    out = run(spec)
    assert [path.name for path in out.iterdir() if not path.is_dir()] == [
        path.name for path in undisturbed.iterdir() if not path.is_dir()
    ]
    (name,) = (path.relative_to(out) for path in out.glob("*/*model.safetensors"))
    first, second = load_file(out / name), load_file(undisturbed / name)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_base_that_is_whole_is_written_down_as_before():
    assert "vocabulary" not in BaseSpec(model="base").model_dump()
    assert BaseSpec(model="base", vocabulary="trimmed").model_dump()["vocabulary"] == "trimmed"

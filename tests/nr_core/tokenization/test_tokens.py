"""Tokenizers and token streams."""

import json
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from nr_core.base.load_base import check_vocabulary
from nr_core.errors import ModelError
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenize_shards import fast_codec, loses_nothing, lost_bytes
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer, tokenizer_hash, train_tokenizer
from tests.nr_core.tiny import invented_text, tiny_model, write_shard


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), min_size=1, max_size=8))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(world, tmp_path, texts):
    counts = tokenize([write_shard(tmp_path / "shard.parquet", texts)], str(world.tokenizer), tmp_path / "tokens")
    stream = TokenStream.open(tmp_path / "tokens")
    tokenizer = AutoTokenizer.from_pretrained(world.tokenizer)
    assert stream.documents == len(texts) == counts["documents"]
    assert len(stream) == counts["tokens"]
    assert [tokenizer.decode(stream.content(i)) for i in range(len(texts))] == texts
    assert stream.byte_lengths.tolist() == [len(text.encode()) for text in texts]
    assert (stream.stream[stream.offsets[1:] - 1] == stream.end_of_text_token).all()


def test_text_that_spells_a_special_token_is_text(world, tmp_path):
    text = "a <|endoftext|> b"
    tokenize([write_shard(tmp_path / "shard.parquet", [text])], str(world.tokenizer), tmp_path / "tokens")
    stream = TokenStream.open(tmp_path / "tokens")
    assert stream.end_of_text_token not in stream.content(0)
    assert load_tokenizer(str(world.tokenizer)).decode(stream.content(0)) == text


def test_a_tokenizer_that_opens_texts_keeps_its_opening_token(world, tmp_path):
    tokenizer = load_tokenizer(str(world.tokenizer))
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    from tokenizers.processors import TemplateProcessing

    opening = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", opening)]
    )
    tokenizer.save_pretrained(tmp_path / "opening")
    shard = write_shard(tmp_path / "shard.parquet", ["bake", "miso"])
    tokenize([shard], str(tmp_path / "opening"), tmp_path / "tokens")
    stream = TokenStream.open(tmp_path / "tokens")
    assert (stream.stream[stream.offsets[:-1]] == opening).all()
    assert stream.context_token == opening
    assert [tokenizer.decode(stream.content(i)) for i in (0, 1)] == ["bake", "miso"]
    assert tokenizer_hash(str(tmp_path / "opening")) != tokenizer_hash(str(world.tokenizer))


@pytest.mark.slow
def test_large_vocabularies_take_four_bytes_and_small_ones_two(world, tmp_path):
    tokenizer = load_tokenizer(str(world.tokenizer))
    tokenizer.add_tokens([f"token{i}" for i in range(1 << 16)])
    tokenizer.save_pretrained(tmp_path / "large")
    shard = write_shard(tmp_path / "shard.parquet", ["bake token65535"])
    tokenize([shard], str(tmp_path / "large"), tmp_path / "tokens")
    stream = TokenStream.open(tmp_path / "tokens")
    assert stream.stream.dtype == np.uint32
    assert max(stream.content(0)) > 1 << 16
    assert TokenStream.open(world.new).stream.dtype == np.uint16


def test_hash_is_of_the_rules_and_not_of_the_place(world, tmp_path):
    load_tokenizer(str(world.tokenizer)).save_pretrained(tmp_path / "copy")
    assert tokenizer_hash(str(tmp_path / "copy")) == tokenizer_hash(str(world.tokenizer))
    assert len(tokenizer_hash(str(world.tokenizer))) == 16


def test_progress_is_told(world, tmp_path):
    told = []
    shard = write_shard(tmp_path / "shard.parquet", ["bake"] * 150)
    tokenize([shard], str(world.tokenizer), tmp_path / "tokens", lambda done, total: told.append((done, total)))
    assert told == [(64, 150), (128, 150), (150, 150)]


def test_a_stream_of_somebody_else_may_lack_what_was_lost(world, tmp_path):
    for name in ("tokens.json", "stream.bin", "offsets.npy", "byte_lengths.npy"):
        (tmp_path / name).symlink_to(world.new / name)
    assert TokenStream.open(tmp_path).lost_bytes is None


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "bert"])  # transformers makes up three of them
def test_a_folder_without_files_of_a_tokenizer_is_told_with_the_fix(architecture, tmp_path):
    tiny_model(architecture).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"such as tokenizer\.json or tokenizer\.model; copy those .* on the hub\.$"):
        load_tokenizer(str(tmp_path))


def test_a_gguf_file_of_an_unknown_architecture_is_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("gguf")
    from tests.nr_core.gguf_file import write_empty_gguf

    write_empty_gguf("rootling", tmp_path / "odd.gguf")
    with pytest.raises(
        ModelError, match=r"from \./odd\.gguf: GGUF model .* rootling is not supported yet; give another"
    ):
        load_tokenizer(BaseSpec(model="odd.gguf"))


def test_the_tokenizer_of_a_gguf_file_is_read_once_and_is_that_of_the_file_as_it_is_now(world, tmp_path):
    pytest.importorskip("gguf")
    from tests.nr_core.gguf_file import write_gguf

    file, words = str(write_gguf(world.base, tmp_path / "base.gguf")), invented_text("new", 1)[0]
    first = load_tokenizer(file)
    before = first(words)["input_ids"]
    first.add_tokens([words[:9]])  # changes what its holder has alone
    assert load_tokenizer(file)(words)["input_ids"] == before != first(words)["input_ids"]
    tokenizer_json = json.loads((world.base / "tokenizer.json").read_text())
    tokenizer_json["model"]["merges"] = tokenizer_json["model"]["merges"][:5]
    other = shutil.copytree(world.base, tmp_path / "other")
    (other / "tokenizer.json").write_text(json.dumps(tokenizer_json))
    write_gguf(other, tmp_path / "base.gguf")
    assert len(load_tokenizer(file)(words)["input_ids"]) > len(before)


def test_what_is_missing_is_said(world, tmp_path):
    tokenizer = load_tokenizer(str(world.tokenizer))
    tokenizer.save_pretrained(tmp_path / "endless")
    config = tmp_path / "endless" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "eos_token": None}))
    with pytest.raises(ModelError, match="has no end-of-text token"):
        load_tokenizer(str(tmp_path / "endless"))
    with pytest.raises(ModelError, match="No tokenizer could be read from"):
        load_tokenizer(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="hold no documents"):
        tokenize([], str(world.tokenizer), tmp_path / "none")
    with pytest.raises(ModelError, match="holds no token stream"):
        TokenStream.open(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="lower vocabulary_size"):
        train_tokenizer([[write_shard(tmp_path / "few.parquet", ["a b"])]], [1.0], 400, tmp_path / "few")


def stream_of(folder):
    return {name: (folder / name).read_bytes() for name in ("stream.bin", "offsets.npy", "byte_lengths.npy")}


@pytest.fixture
def shards(tmp_path):
    texts = [invented_text("old", 40, seed) for seed in range(3)]
    return [write_shard(tmp_path / f"{i}.parquet", text) for i, text in enumerate(texts)]


def test_several_processes_write_what_one_writes(world, tmp_path, shards):
    one = tokenize(shards, str(world.tokenizer), tmp_path / "one")
    told = []
    several = tokenize(shards, str(world.tokenizer), tmp_path / "several", lambda *done: told.append(done), workers=3)
    assert several == one
    assert stream_of(tmp_path / "several") == stream_of(tmp_path / "one")
    assert told[-1] == (120, 120)
    left = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert left == ["byte_lengths.npy", "lost_bytes.npy", "offsets.npy", "stream.bin", "tokens.json"]


def test_the_processes_import_nothing_heavy():
    code = "import sys, nr_core.tokenization.tokenize_shards\nnr_core.tokenization.tokenize_shards.fast_codec\n"
    code += "assert not {'torch', 'transformers', 'peft', 'prefect', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_what_was_killed_goes_on_from_its_last_whole_piece(world, tmp_path, shards, workers):
    """Killed at a moment of its own choice after the first piece."""
    out = tmp_path / "out"
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom nr_core.tokenization.tokenize_corpus import tokenize\n"
        "*shards, tokenizer, out = sys.argv[1:]\n"
        "def kill(done, total):\n    if len(list(Path(out, 'pieces').glob('0*'))):\n        os.kill(os.getpid(), 9)\n"
        f"tokenize([Path(shard) for shard in shards], tokenizer, Path(out), kill, workers={workers})"
    )
    call = [sys.executable, "-c", program, *map(str, shards), str(world.tokenizer), str(out)]
    assert subprocess.run(call).returncode == -9
    whole = sorted((out / "pieces").glob("0*"))
    assert whole and not (out / "tokens.json").exists()
    written = [piece.stat().st_ino for piece in whole]
    told = []

    def look(done, total):
        told.append((done, [piece.stat().st_ino for piece in whole] == written))

    tokenize(shards, str(world.tokenizer), out, look)
    assert all(done > 40 * len(whole) and stands for done, stands in told)
    tokenize(shards, str(world.tokenizer), tmp_path / "undisturbed")
    assert stream_of(out) == stream_of(tmp_path / "undisturbed")


def test_pieces_of_another_text_are_not_taken(world, tmp_path, shards):
    stale = tmp_path / "out" / "pieces" / "00000"
    stale.mkdir(parents=True)
    tokenize(shards, str(world.tokenizer), tmp_path / "out")
    tokenize(shards, str(world.tokenizer), tmp_path / "undisturbed")
    assert stream_of(tmp_path / "out") == stream_of(tmp_path / "undisturbed")


def test_a_process_that_dies_is_told(world, tmp_path, shards):
    content = bytearray(shards[1].read_bytes())
    content[4:64] = bytes(60)
    shards[1].write_bytes(content)
    assert pq.ParquetFile(shards[1]).metadata.num_rows == 40, "the footer is whole"
    with pytest.raises(ModelError, match="goes on from its last whole shard"):
        tokenize(shards, str(world.tokenizer), tmp_path / "out", workers=2)
    assert not (tmp_path / "out" / "tokens.json").exists()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.text(max_size=60))
def test_lost_bytes_are_those_of_characters_that_do_not_come_back(kept, lost):
    assert lost_bytes(kept, kept) == lost_bytes(kept, kept + lost) == 0
    assert lost_bytes(unicodedata.normalize("NFC", kept), unicodedata.normalize("NFD", kept)) == 0
    composed, apart = (unicodedata.normalize(form, kept) for form in ("NFC", "NFD"))
    assert lost_bytes(apart, composed) == len(apart.encode()) - len(composed.encode())
    assert lost_bytes(kept, "") == len(kept.encode())
    assert 0 <= lost_bytes(kept + lost, kept) <= len((kept + lost).encode(errors="surrogatepass"))


def test_what_normalisers_change_is_lost_and_byte_level_bpe_loses_nothing(world):
    rules = json.loads(load_tokenizer(str(world.tokenizer)).backend_tokenizer.to_str())
    assert loses_nothing(json.dumps(rules))
    lower = json.dumps({**rules, "normalizer": {"type": "Lowercase"}})
    assert not loses_nothing(lower)
    for given_rules, lost in ((rules, [0, 0]), (json.loads(lower), [2, 0])):
        codec = fast_codec(json.dumps(given_rules))
        texts = ["Bake Miso", "bake"]
        assert codec.lost_bytes(texts, codec.encode(texts)) == lost


@pytest.mark.parametrize("end", [400, 70_000])
def test_the_largest_id_that_occurs_counts_not_the_number_of_entries(world, tmp_path, end):
    """A tokenizer with a hole before its last id, and one whose last entry is never used."""
    rules = json.loads(load_tokenizer(str(world.tokenizer)).backend_tokenizer.to_str())
    rules["model"]["vocab"] = {k: end if v == 0 else v for k, v in rules["model"]["vocab"].items()}
    rules["added_tokens"][0]["id"] = end
    holes = Tokenizer.from_str(json.dumps(rules))
    PreTrainedTokenizerFast(tokenizer_object=holes, eos_token="<|endoftext|>").save_pretrained(tmp_path / "holes")
    shard = write_shard(tmp_path / "shard.parquet", ["bake", "miso"])
    tokenize([shard], str(tmp_path / "holes"), tmp_path / "tokens")
    stream = TokenStream.open(tmp_path / "tokens")
    assert stream.vocabulary_size == end + 1 == int(stream.stream.max()) + 1
    with pytest.raises(ModelError, match=f"holds the token {end}, the model has rows for 64"):
        check_vocabulary(tiny_model("llama"), stream.vocabulary_size, stream.folder)

    longer = load_tokenizer(str(world.tokenizer))
    longer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    longer.save_pretrained(tmp_path / "longer")
    tokenize([shard], str(tmp_path / "longer"), tmp_path / "unused")
    stream = TokenStream.open(tmp_path / "unused")
    check_vocabulary(tiny_model("llama", vocab_size=300), stream.vocabulary_size, stream.folder)

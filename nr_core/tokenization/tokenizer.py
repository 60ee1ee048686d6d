"""Tokenizers, the byte-level BPE of a base made here among them, and the token stream of a corpus.

A stream is a folder: stream.bin (uint16 where no id of the tokenizer is above 65,535, else uint32: every document,
opened by the beginning-of-text token where the tokenizer writes one, closed by the end-of-text token), offsets.npy
(int64, documents + 1), byte_lengths.npy (int64, UTF-8 bytes of each document), lost_bytes.npy (int64, how many of them
the tokens do not give back; without this file none count as lost) and tokens.json. It holds no packing, no sequence
length and no role: those belong to a run.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nr_core.errors import ModelError
from nr_core.files import foreign_files
from nr_core.settings import BaseSpec

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILES = ("*token*", "*vocab*", "merges.txt", "*.model")  # their names, by which a folder has any
COUNTED_AT_ONCE = 1 << 24  # tokens
TOKENIZER_TEXT = 20_000_000  # characters that a BPE tokenizer is trained on: more changes its merges little


def train_tokenizer(shards: Sequence[Sequence[Path]], shares: Sequence[float], vocabulary_size: int, out: Path) -> None:
    """Train a byte-level BPE tokenizer with an end-of-text token and write it to the folder `out`.

    shards: the Parquet shards (column `text`) of each corpus; shares: the share of the training text that each is to
    give. Raises ModelError where the text does not give that many entries.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    sizes = [sum(len(text) for text in texts_of(corpus)) for corpus in shards]
    total = min([TOKENIZER_TEXT, *(size / share for size, share in zip(sizes, shares, strict=True) if share > 0)])

    def sample() -> Iterator[str]:
        for corpus, share in zip(shards, shares, strict=True):
            wanted = share * total
            for text in texts_of(corpus):
                if wanted <= 0:
                    break
                yield text
                wanted -= len(text)

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(), trainer)
    if tokenizer.get_vocab_size() < vocabulary_size:
        raise ModelError(
            f"The text gives a tokenizer of {tokenizer.get_vocab_size()} entries, not {vocabulary_size}; "
            "lower vocabulary_size or give more text."
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT, clean_up_tokenization_spaces=False
    ).save_pretrained(out)


def load_tokenizer(tokenizer: str | BaseSpec) -> Any:
    """Return the tokenizer of a folder or hub id. Raises ModelError where there is none, or it has no end-of-text
    token.
    """
    spec = BaseSpec(model=tokenizer) if isinstance(tokenizer, str) else tokenizer
    with foreign_files(partial(_no_tokenizer, spec)):
        file = Path(spec.model) / spec.gguf_file if spec.gguf_file else None
        if file is not None and file.is_file():
            state = file.stat()
            loaded = copy.deepcopy(_from_gguf(str(file), spec.trust_remote_code, state.st_mtime_ns, state.st_size))
        else:
            loaded = _from_files(spec)
    if loaded.get_vocab().keys() <= set(loaded.all_special_tokens):  # some kinds are made of no file at all
        raise ModelError(_no_tokenizer(spec, "it has special tokens alone"))
    if loaded.eos_token_id is None:
        raise ModelError(
            f"The tokenizer of {spec.called} has no end-of-text token (eos_token), which marks where documents end; "
            "set eos_token in its tokenizer_config.json."
        )
    return loaded


@lru_cache(maxsize=1)
def _from_gguf(file: str, trust_remote_code: bool, changed: int, size: int) -> Any:
    """Read a tokenizer out of a GGUF file: once in a process, since it takes seconds. changed, size: of the file."""
    return _from_files(BaseSpec(model=file, trust_remote_code=trust_remote_code))


def _from_files(spec: BaseSpec) -> Any:
    from transformers import AutoTokenizer

    options = {"gguf_file": spec.gguf_file} if spec.gguf_file else {}
    return AutoTokenizer.from_pretrained(
        spec.model, revision=spec.revision, trust_remote_code=spec.trust_remote_code, **options
    )


def _no_tokenizer(spec: BaseSpec, reason: str) -> str:
    folder, fix = Path(spec.model), "give the folder or hub id of a model that comes with one"
    if spec.gguf_file:
        fix = "give another GGUF file, or the same model as a folder of safetensors or by its hub id"
    elif folder.is_dir() and not any(file for end in TOKENIZER_FILES for file in folder.glob(end)):
        reason = "the folder holds no file of one, such as tokenizer.json or tokenizer.model"
        fix = "copy those of the model into it, which stand beside its weights on the hub"
    return f"No tokenizer could be read from {spec.called}: {reason}; {fix}."


def tokenizer_hash(tokenizer: str | BaseSpec) -> str:
    """Return 16 hex characters that change when a text would get other tokens: of the vocabulary, rules and special
    tokens.
    """
    loaded = load_tokenizer(tokenizer)
    backend = getattr(loaded, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else sorted(loaded.get_vocab().items())
    if isinstance(rules, dict):  # truncation and padding are state of the last call, not of the tokenizer
        rules = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}
    content = json.dumps([rules, loaded.eos_token_id, opening_token(loaded)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TokenStream:
    """A token stream, memory-mapped."""

    folder: Path
    stream: np.ndarray[Any, Any]  # (tokens,)
    offsets: np.ndarray[Any, Any]  # (documents + 1,)
    byte_lengths: np.ndarray[Any, Any]  # (documents,)
    vocabulary_size: int  # the largest id that occurs, and one
    opening_token: int | None
    end_of_text_token: int
    context_token: int
    lost_bytes: np.ndarray[Any, Any] | None = None  # (documents,); None: nobody has counted them

    @classmethod
    def open(cls, folder: str | Path) -> TokenStream:
        """Raise ModelError where the folder holds no whole stream."""
        folder = Path(folder)
        try:
            facts = json.loads((folder / "tokens.json").read_text())
            stream = np.memmap(folder / "stream.bin", dtype=facts["dtype"], mode="r")
            offsets = np.load(folder / "offsets.npy")
            byte_lengths = np.load(folder / "byte_lengths.npy")
            lost = folder / "lost_bytes.npy"
            lost_bytes = np.load(lost) if lost.exists() else None
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder} holds no token stream ({_first_line(error)}); tokenise the corpus again."
            ) from error
        if offsets[-1] != len(stream):
            raise ModelError(
                f"{folder}/stream.bin holds {len(stream)} tokens, {offsets[-1]} were written; tokenise again."
            )
        names = ("vocabulary_size", "opening_token", "end_of_text_token", "context_token")
        known = {name: facts[name] for name in names}
        return cls(folder, stream, offsets, byte_lengths, **known, lost_bytes=lost_bytes)

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def documents(self) -> int:
        return len(self.byte_lengths)

    def used(self) -> np.ndarray[Any, Any]:
        """Tell which tokens occur: (vocabulary_size,) bool."""
        occurs = np.zeros(self.vocabulary_size, dtype=bool)
        for start in range(0, len(self.stream), COUNTED_AT_ONCE):
            occurs |= np.bincount(self.stream[start : start + COUNTED_AT_ONCE], minlength=len(occurs)) > 0
        return occurs

    def content(self, document: int) -> np.ndarray[Any, Any]:
        """Return the tokens of a document's text, without those that open and close it."""
        start = int(self.offsets[document]) + (self.opening_token is not None)
        return self.stream[start : int(self.offsets[document + 1]) - 1]


def opening_token(tokenizer: Any) -> int | None:
    """Return the token that the tokenizer itself puts before a text (Llama 3 and Gemma do), which such models need to
    see.
    """
    opened = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return bos if bos is not None and opened[:1] == [bos] else None


def closing_tokens(tokenizer: Any) -> int:
    """Tell how many tokens the tokenizer itself puts behind a text (T5's and BERT's do): none belongs behind a
    prompt.
    """
    whole = list(tokenizer("a")["input_ids"])
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    ends = [len(whole) - end for end in range(len(bare), len(whole) + 1) if whole[end - len(bare) : end] == bare]
    return min(ends, default=0)


def largest_id(tokenizer: Any) -> int:
    """Return the largest id that the tokenizer can give, special tokens too. With holes in its ids it is above
    len(tokenizer).
    """
    return max(tokenizer.get_vocab().values())


def texts_of(shards: Sequence[Path]) -> Iterator[str]:
    """Yield the documents of Parquet shards (column `text`)."""
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches(batch_size=256, columns=["text"]):
            yield from batch.column(0).to_pylist()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

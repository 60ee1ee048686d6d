"""The code of docs/library.md runs, from a hub id to an adapter, with a tiny model in place of the hub's."""

import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from tests.nr_core.tiny import tiny_model

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


@pytest.fixture
def base(tmp_path):
    letters = sorted(ByteLevel.alphabet())
    words = Tokenizer(BPE({letter: number for number, letter in enumerate([*letters, "<end>"])}, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>").save_pretrained(tmp_path / "base")
    tiny_model("llama", vocab_size=257).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_every_block_runs_after_those_before_it(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    code = "\n".join(blocks).replace('"HuggingFaceTB/SmolLM2-135M"', repr(str(base)))
    code = code.replace('report_to="none"', 'report_to="none", use_cpu=True')
    code = code.replace("gpu = torch.cuda.is_available()", "gpu = False")
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102  (our own page)
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()

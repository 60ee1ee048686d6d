"""Pages of mapped weights: let go of, they are no memory of the process, and the weights are as before."""

import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nr_core.base.load_base import load_base
from nr_core.base.precision import Choice, FilePages, to_read_from
from nr_core.settings import BaseSpec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of pages on Linux alone")


def held_of_files():
    """Return this process's kB of file pages."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))


def test_a_mapped_tensor_is_let_go_of_and_read_anew(tmp_path):
    values = torch.arange(8 << 20, dtype=torch.float32)
    path = tmp_path / "w.safetensors"
    save_file({"a": values[: 4 << 20].clone(), "b": values}, path)
    mapped = torch.from_file(str(path), shared=False, size=path.stat().st_size // 4, dtype=torch.float32)
    float(mapped.sum())
    before, pages = held_of_files(), FilePages()
    pages.let_go(mapped)
    assert before - held_of_files() > 40_000
    with safe_open(path, "pt") as file:
        torch.testing.assert_close(mapped[-len(values) :], file.get_tensor("b"), rtol=0, atol=0)
    assert pages.of(values) is None  # no file's
    assert pages.of(mapped[1:5]) is None  # within a page
    assert pages.of(mapped.view(-1, 2).T) is None


def test_memory_that_was_written_to_is_kept(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(bytes(1 << 20))
    mapped = torch.from_file(str(path), shared=False, size=1 << 18, dtype=torch.float32)
    mapped[5000] = 1.0
    FilePages().let_go(mapped)
    assert mapped[5000] == 1.0


@torch.no_grad()
def test_a_model_whose_rows_are_let_go_of_says_the_same(world):
    tokens = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(0))
    models = [load_base(BaseSpec(model=str(world.base))) for _ in range(2)]
    for parameter in models[1].parameters():
        parameter.data = parameter.detach().clone()  # in no file
    read = [to_read_from(model, Choice("bf16", "a test")) for model in models]
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = [model(input_ids=tokens).logits for model in read]
        torch.testing.assert_close(*logits, rtol=0, atol=0)
    assert read[0].get_input_embeddings()._forward_hooks
    assert not read[1].get_input_embeddings()._forward_hooks

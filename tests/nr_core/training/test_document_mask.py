"""Documents packed into one sequence give what they give apart; architectures that cannot do so are refused."""

import pyarrow.parquet as pq
import pytest
import torch
from peft import get_peft_model

from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig
from nr_core.training.batches import document_positions, require_document_mask
from tests.nr_core.tiny import tiny_model

END = 2
DOCUMENTS = [
    torch.randint(3, 64, (length,), generator=torch.Generator().manual_seed(length)) for length in (5, 7, 1, 4)
]


def closed(document):
    return torch.cat([document, torch.tensor([END])])


def gradients(model, logits):
    weights = torch.randn(64, generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    sum((values * weights).sum() for values in logits).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "qwen3", "phi3", "gpt_neox", "mixtral"])
def test_packed_documents_are_as_apart(architecture):
    base = tiny_model(architecture)
    require_document_mask(base)
    model = get_peft_model(base, NeutralResiduesConfig(width=8)).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    documents = [closed(document) for document in DOCUMENTS]
    row = torch.cat(documents).unsqueeze(0)
    positions = document_positions(row, END)
    assert positions[0].tolist() == [place for document in documents for place in range(len(document))]
    packed = model(row, position_ids=positions, use_cache=False).logits[0].split([len(d) for d in documents])
    apart = [model(document.unsqueeze(0), use_cache=False).logits[0] for document in documents]
    for one, other in zip(packed, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    for one, other in zip(gradients(model, packed), gradients(model, apart), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    joined = model(row, use_cache=False).logits[0].split([len(d) for d in documents])
    assert not torch.allclose(joined[1], apart[1], atol=1e-3), "without positions, documents see each other"


@pytest.mark.parametrize("architecture", ["bloom", "mpt", "opt", "falcon"])
def test_what_keeps_no_documents_apart_is_refused(architecture):
    with pytest.raises(ModelError, match=rf"document_mask: the model \({architecture}\) does not keep documents"):
        require_document_mask(tiny_model(architecture, d_model=32, n_layers=2, n_heads=2))  # MPT's own names of sizes


def test_a_run_trains_under_the_mask(world, run, tmp_path):
    losses = [
        [row["lm_loss"] for row in pq.read_table(out / "steps.parquet").to_pylist()]
        for out in (
            run(
                world.train_spec(
                    tmp_path / str(mask), training={"document_mask": mask, "steps": 3, "sequence_length": 32}
                )
            )
            for mask in (False, True)
        )
    ]
    assert losses[0] != losses[1]

"""Several documents in one training sequence that do not see each other (intra-document causal masking, as in Llama 3,
https://arxiv.org/abs/2407.21783, section 3.2).

Positions begin anew with each document, and that is all: from them, the models of transformers make the mask
themselves, block-diagonal for SDPA and eager attention, lengths of documents for flash attention. Architectures that
take no positions (ALiBi) or carry a state from token to token do not; they are tried before training and refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nr_core.errors import ModelError

PROBE = 6  # tokens of each of the two documents that show whether the mask holds
SAME_SHAPE = 1e-6  # of the largest logit: what is masked has a weight of exactly zero
OTHER_SHAPE = 1e-3  # rounding of other kernels; a wrong position moves logits by far more


def document_positions(tokens: Tensor, end_of_text: int) -> Tensor:
    """tokens (B, T) -> position of each token within its document, counted from 0 at the sequence's begin (B, T)."""
    index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = torch.zeros_like(tokens, dtype=torch.bool)
    begins[:, 1:] = tokens[:, :-1] == end_of_text
    return index - torch.where(begins, index, 0).cummax(dim=1).values


@torch.no_grad()
def require_document_mask(model: Any) -> None:
    """Raises ModelError where a document's logits depend on the document before it in its sequence."""
    rows = model.get_input_embeddings().weight.shape[0]
    first, other, last = torch.arange(3 * PROBE, device=model.device).remainder(rows).view(3, 1, PROBE)
    positions = torch.arange(PROBE, device=model.device).repeat(2).unsqueeze(0)
    training = model.training
    model.eval()
    try:
        packed, disturbed = (
            model(input_ids=torch.cat([before, last], 1), position_ids=positions, use_cache=False).logits[:, PROBE:]
            for before in (first, other)
        )
        alone = model(input_ids=last, use_cache=False).logits
    except TypeError:  # position_ids is no argument of it
        packed = disturbed = alone = None
    finally:
        model.train(training)
    if packed is not None:
        size = float(alone.abs().max())
        leak = float((packed - disturbed).abs().max())
        if leak <= SAME_SHAPE * size and float((packed - alone).abs().max()) <= OTHER_SHAPE * size:
            return
    kind = getattr(model.config, "model_type", type(model).__name__)
    raise ModelError(
        f"document_mask: the model ({kind}) does not keep documents of one sequence apart by their positions; leave "
        "document_mask out, or take another base."
    )

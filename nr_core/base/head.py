"""The output head in pieces: losses of hidden states that never hold a tensor of all tokens × vocabulary.

With 262,144 entries the logits of 2,048 tokens are 2.1 GB in fp32, and their gradient as much again. Here a few tokens
at a time go through the head, and where there is something to train, their gradient is made at once, in the way of
Liger Kernel (arXiv 2410.10989, section 3.2): hidden states keep a gradient of their own size, nothing else is left.

What a piece passes through is the model's own forward with its decoder left out, so soft caps, scales, biases and hooks
on the head hold as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr_core.base.precision import FP32, Choice

PIECE_BYTES = 24 << 20  # of fp32 logits; two more tensors of about this size stand beside them
LEAST_PIECE = 32  # tokens: below, reading the head's weights costs more than computing with them (34 MB at 262,144)

ToLogits = Callable[[Tensor], Tensor]
# (logits of a piece (n, V), which of the flattened tokens they are) -> the piece's summed loss, its gradient (n, V)
Criterion = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
Found = TypeVar("Found")


class _Known(nn.Module):
    """Stands for a decoder whose outputs are known."""

    def __init__(self, decoder: nn.Module, outputs: Any) -> None:
        super().__init__()
        self._of, self._outputs = [decoder], outputs  # in a list: no child, which would be cut or moved with this

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._outputs

    def __getattr__(self, name: str) -> Any:
        """Return the decoder's own attributes: Falcon H1 keeps the scale of its logits there."""
        return super().__getattr__(name) if name.startswith("_") else getattr(self._of[0], name)


class Head:
    """The way of a causal language model from its last hidden states to logits, in the precision that was chosen.

    model: wrapped by PEFT or not.

    A model whose forward cannot be parted there (perhaps one that brings its own code) gives all logits at once; only
    what is made of them is then made by pieces. Where it parts is tried on two tokens.
    """

    def __init__(self, model: Any, precision: Choice = FP32) -> None:
        self.model, self.precision = model, precision
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        places = [f"{name}{inner}" for inner in ("", ".decoder") for name in (self._causal.base_model_prefix, "model")]
        self._decoder: str | None = next(filter(self._parts_at, places), None)

    def computing(self) -> Any:
        """Return the context in which the model computes."""
        return self.precision.autocast(next(self.model.parameters()).device)

    def run(self, use: Callable[[Tensor, ToLogits], Found], input_ids: Tensor, **options: Any) -> Found:
        """Call the model, and within that call `use` with its last hidden states (B, T, d) and what makes logits
        of them, (..., n, d) -> (..., n, V).

        Within: parameters that FSDP2 has cut are whole only while the model runs. options: of the model's forward.
        """
        if self._decoder is None:
            with self.computing():
                logits: Tensor = self.model(input_ids=input_ids, use_cache=False, **options).logits
                return use(logits, lambda piece: piece)
        causal, (home, _, name) = self._causal, self._decoder.rpartition(".")
        parent = causal.get_submodule(home)
        plain, own = causal.forward, causal.__dict__.get("forward")

        def forward(input_ids: Tensor, **given: Any) -> Found:
            decoder = parent.get_submodule(name)
            outputs = decoder(input_ids=input_ids, use_cache=False, **options)

            def to_logits(hidden: Tensor) -> Tensor:
                known = copy.copy(outputs)
                known["last_hidden_state"] = hidden[None] if hidden.dim() == 2 else hidden
                with _in_place_of(parent, name, _Known(decoder, known)), self.computing():
                    logits: Tensor = plain(input_ids=input_ids[:, :1], use_cache=False).logits
                return logits[0] if hidden.dim() == 2 else logits

            return use(outputs.last_hidden_state, to_logits)

        causal.forward = forward
        try:
            with self.computing():
                found: Found = self.model(input_ids=input_ids)
            return found
        finally:
            del causal.forward
            if own is not None:  # accelerate's, of an offloaded model
                causal.forward = own

    def summed(self, criterion: Criterion, input_ids: Tensor, **options: Any) -> Tensor:
        """Return the sum of a criterion over all tokens, a scalar with a gradient for all that is trained."""

        def use(hidden: Tensor, to_logits: ToLogits) -> Tensor:
            # Asked here: while the model runs, FSDP2 has the whole parameters in place of its parts of them.
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            total: Tensor = _SummedByPieces.apply(hidden, self.pieces, to_logits, criterion, *trained)
            return total

        return self.run(use, input_ids, **options)

    def hidden(self, input_ids: Tensor, **options: Any) -> tuple[Tensor, ToLogits]:
        """Return the last hidden states (B, T, d), and what makes logits of them."""
        return self.run(lambda hidden, to_logits: (hidden, to_logits), input_ids, **options)

    def pieces(self, flat: Tensor) -> Iterator[tuple[Tensor, slice]]:
        """Yield flat hidden states (n, d), a few at a time, each with its place."""
        size = max(LEAST_PIECE, PIECE_BYTES // (4 * self._causal.get_output_embeddings().weight.shape[0]))
        for start in range(0, len(flat), size):
            piece = slice(start, start + size)
            yield flat[piece], piece

    def token_nats(self, input_ids: Tensor, targets: Tensor, **options: Any) -> Tensor:
        """Return the cross-entropy of each target (B, T), in nats, fp32; no gradient."""
        flat = targets.flatten()

        def use(hidden: Tensor, to_logits: ToLogits) -> Tensor:
            nats = [
                F.cross_entropy(to_logits(states).float(), flat[piece], reduction="none")
                for states, piece in self.pieces(hidden.flatten(0, 1))
            ]
            return torch.cat(nats).view_as(targets)

        with torch.no_grad():
            return self.run(use, input_ids, **options)

    @torch.no_grad()
    def _parts_at(self, place: str) -> bool:
        self._decoder, training = place, self.model.training
        ids = torch.tensor([[0, 1]], device=next(self.model.parameters()).device)
        self.model.eval()  # dropout would tell the two ways apart
        try:
            found = self.run(lambda hidden, to_logits: to_logits(hidden), ids)
            with self.computing():
                torch.testing.assert_close(found, self.model(input_ids=ids, use_cache=False).logits)
        except (AssertionError, AttributeError, TypeError, KeyError, IndexError, ValueError, RuntimeError):
            return False
        finally:
            self.model.train(training)
        return True


class _SummedByPieces(torch.autograd.Function):
    """Loss and gradients in one pass: the gradient of the hidden states, and of what is trained in the head itself."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, pieces: Any, to_logits: ToLogits, criterion: Criterion, *trained: nn.Parameter
    ) -> Tensor:
        flat = hidden.detach().flatten(0, 1)
        total = torch.zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        gradient = torch.empty_like(flat)
        of_trained: list[Tensor | None] = [None] * len(trained)
        for states, piece in pieces(flat):
            states.requires_grad_(True)
            with torch.enable_grad():
                logits = to_logits(states)
            value, of_logits = criterion(logits.detach(), piece)
            total += value
            of_logits = of_logits.to(logits.dtype)
            found = torch.autograd.grad(logits, (states, *trained), of_logits, allow_unused=True)
            del logits, of_logits  # or they would stand beside the next piece's
            gradient[piece] = found[0]
            for i, more in enumerate(found[1:]):
                before = of_trained[i]
                of_trained[i] = more if before is None or more is None else before.add_(more)
        ctx.gradients = (gradient.view_as(hidden), *of_trained)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden, *of_trained = (None if found is None else found * grads[0] for found in ctx.gradients)
        ctx.gradients = ()
        return of_hidden, None, None, None, *of_trained


@contextmanager
def _in_place_of(parent: nn.Module, name: str, child: nn.Module) -> Iterator[None]:
    standing = parent._modules[name]
    parent._modules[name] = child
    try:
        yield
    finally:
        parent._modules[name] = standing

"""Which sequences a step sees."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nr_core.errors import ModelError
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Batches, Input, choose, exact_shares


def stream(tokens: int, start: int = 0) -> TokenStream:
    """A stream of one document whose tokens are start, start + 1, ..."""
    values = np.arange(start, start + tokens)
    return TokenStream(Path("stream"), values, np.array([0, tokens]), np.array([tokens]), 1 << 30, None, 0, 0)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(any), st.integers(1, 5))
@settings(max_examples=60)
def test_shares_are_exact_wherever_they_can_be(weights, rounds):
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    counts = [0] * len(weights)
    for k in range(sum(weights) * rounds):
        chosen, ordinal = choose(shares, k)
        assert ordinal == counts[chosen], "an input's sequences must be numbered without gaps"
        counts[chosen] += 1
    assert counts == [weight * rounds for weight in weights]


@given(st.integers(1, 99))
@settings(max_examples=30)
def test_the_original_share_is_within_one_sequence_at_any_time(percent):
    shares = exact_shares([percent / 100, 1 - percent / 100])
    original = 0
    for k in range(200):
        original += choose(shares, k)[0] == 0
        assert original == (k + 1) * percent // 100


def test_29_percent_of_100_sequences_are_29():
    inputs = [Input(stream(1000), 0.71, "new"), Input(stream(1000), 0.29, "original")]
    batches = Batches(inputs, sequence_length=10, batch_size=10, seed=0)
    assert sum(int(batches.batch(step)[1].sum()) for step in range(10)) == 29


@given(st.integers(0, 50), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=40)
def test_ranks_share_the_global_batch_which_depends_on_seed_and_step_only(step, ranks, seed):
    def fresh():
        inputs = [
            Input(stream(500), 0.5, "new"),
            Input(stream(300, 1000), 0.3, "original"),
            Input(stream(300, 2000), 0.2, "original"),
        ]
        return Batches(inputs, sequence_length=7, batch_size=12, seed=seed)

    tokens, original = fresh().batch(step)
    assert tokens.shape == (12, 8)
    assert torch.equal(original, tokens[:, 0] >= 1000)
    again = fresh()
    again.batch(3)
    for rank in range(ranks):
        rows, roles = again.batch(step, rank, ranks)
        assert torch.equal(rows, tokens[rank::ranks])
        assert torch.equal(roles, original[rank::ranks])


def test_an_epoch_sees_every_window_once_and_the_next_is_shuffled_anew():
    batches = Batches([Input(stream(101), 1.0, "new")], sequence_length=10, batch_size=10, seed=0)
    first, second = (batches.batch(step)[0][:, 0].tolist() for step in (0, 1))
    assert sorted(first) == sorted(second) == list(range(0, 100, 10))
    assert first != second


def test_shares_that_do_not_sum_to_one_and_short_streams_are_refused():
    with pytest.raises(ModelError, match=r"0\.5, 0\.4, must be 0 or more and sum to 1"):
        Batches([Input(stream(100), 0.5, "new"), Input(stream(100), 0.4, "original")], 10, 4, 0)
    with pytest.raises(ModelError, match="holds 10 tokens, fewer than a sequence of 10"):
        Batches([Input(stream(10), 1.0, "new")], 10, 4, 0)
    assert sum(exact_shares([1 / 3, 1 / 3, 1 / 3])) == 1


def test_an_input_of_share_zero_gives_nothing():
    batches = Batches([Input(stream(100), 1.0, "new"), Input(stream(5), 0.0, "original")], 10, 4, 0)
    assert not batches.batch(0)[1].any()


@given(st.lists(st.integers(1, 30), min_size=4, max_size=30), st.integers(3, 9), st.integers(0, 3))
@settings(max_examples=60)
def test_sequences_of_models_that_need_an_opening_token_begin_with_it(lengths, length, seed):
    """Documents are opened by 1 and closed by 2; their tokens are 10, 11, ... in order."""
    texts = np.split(np.arange(10, 10 + sum(lengths)), np.cumsum(lengths)[:-1])
    tokens = np.concatenate([[1, *text, 2] for text in texts])
    offsets = np.cumsum([0, *(n + 2 for n in lengths)])
    opened = TokenStream(Path("stream"), tokens, offsets, np.array(lengths), 1 << 30, 1, 2, 1)
    batches = Batches([Input(opened, 1.0, "new")], length, 1, seed)
    for number in range((len(tokens) - 1) // length):
        _, row = batches.sequence(number)
        assert len(row) == length + 1 and row[0] == 1
        at = int(np.flatnonzero(tokens == row[row > 9][0])[0]) - int(np.flatnonzero(row > 9)[0])
        assert row[1:].tolist() == tokens[at + 1 : at + 1 + length].tolist()

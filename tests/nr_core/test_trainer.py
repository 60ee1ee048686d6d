"""In another's trainer the method has the gradients that it has in our own loop, however the batch is cut."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

import nr_core.peft
from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.trainer import LocalLossMixin, marked
from nr_core.training.loss import lm_loss, local_loss
from nr_core.tuner.layer import find_taps
from tests.nr_core.tiny import tiny_model

ALPHA, SHARE = 0.7, 0.25
ROWS, LENGTH = 4, 12


class Extending(LocalLossMixin, Trainer):
    pass


class ExtendingSFT(LocalLossMixin, SFTTrainer):
    pass


class Gradients(TrainerCallback):
    """What reached the optimiser in the first step."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.of = {n.removeprefix("module."): p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def adapted():
    model = get_peft_model(tiny_model("llama"), nr_core.peft.NeutralResiduesConfig(width=6))
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:  # so that gates open and residues are not small
            parameter.data.normal_(std=0.3)
    return model


def rows(lengths=(LENGTH,) * ROWS):
    generator = torch.Generator().manual_seed(2)
    tokens = [torch.randint(3, 64, (length + 1,), generator=generator) for length in lengths]
    return tokens, [number in (1, 2) for number in range(len(lengths))]


def of_our_loop():
    """The gradients of a whole batch, as nr_core.training.loop takes them."""
    model = adapted()
    taps, (tokens, original) = find_taps(model), rows()
    targets = ROWS * LENGTH
    with taps.collect():
        loss = lm_loss(Head(model), torch.stack(tokens), targets)
        role = torch.tensor(original).repeat_interleave(LENGTH)
        (loss + ALPHA * local_loss(taps, role, SHARE * targets)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


def data():
    """Rows of as many inputs as targets, as our loop has them."""
    tokens, original = rows()
    columns = {"input_ids": [row[:-1] for row in tokens], "shift_labels": [row[1:] for row in tokens]}
    return Dataset.from_dict({**columns, "labels": columns["input_ids"], "original": original})


def of_a_trainer(folder, per_device=ROWS, accumulated=1, alpha=ALPHA, rows=None, **options):
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=accumulated,
        max_steps=1,
        remove_unused_columns=False,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        max_grad_norm=0,
        **options,
    )
    gradients = Gradients()
    trainer = Extending(
        adapted(), arguments, train_dataset=rows or data(), callbacks=[gradients], alpha=alpha, original_share=SHARE
    )
    trainer.train()
    return gradients.of


def assert_same(one, other):
    assert one.keys() == other.keys() and one
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "cut",
    [
        {},
        {"per_device": 1, "accumulated": 4},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    ],
    ids=["whole", "accumulated", "recomputed"],
)
def test_gradients_are_those_of_our_loop(tmp_path, cut):
    assert_same(of_a_trainer(tmp_path, **cut), of_our_loop())


def test_what_is_no_target_changes_no_residues_weight(tmp_path):
    """Of answers alone, say: the prompts are read, and weigh in the local loss as text whose every token counts."""

    def of_gates(targets):
        trained = data()
        masked = [[-100] * (LENGTH - targets) + row[LENGTH - targets :] for row in trained["shift_labels"]]
        whole = trained.remove_columns("shift_labels").add_column("shift_labels", masked)
        with_local, without = (of_a_trainer(tmp_path, 2, 2, alpha, rows=whole) for alpha in (ALPHA, 0.0))
        return {name: with_local[name] - without[name] for name in with_local}

    assert_same(of_gates(LENGTH // 4), of_gates(LENGTH))


@pytest.mark.slow
def test_over_two_processes_too(tmp_path):
    script = (
        "import sys, torch\nfrom tests.nr_core.test_trainer import of_a_trainer\n"
        f"found = of_a_trainer({str(tmp_path)!r}, per_device=1, accumulated=2)\n"
        "import torch.distributed as dist\n"
        f"dist.get_rank() or torch.save(found, {str(tmp_path / 'found.pt')!r})\n"
    )
    (tmp_path / "two.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", tmp_path / "two.py"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert_same(torch.load(tmp_path / "found.pt"), of_our_loop())


def test_trls_trainer_pads_and_nothing_of_it_counts(tmp_path):
    lengths = (5, 9, 12, 3)
    tokens, original = rows(lengths)
    model, targets = adapted(), sum(lengths)
    taps = find_taps(model)
    for row, is_original in zip(tokens, original, strict=True):  # each by itself, without padding
        with taps.collect():
            logits = model(input_ids=row.unsqueeze(0)).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum") / targets
            mark = torch.full((len(row),), is_original)
            (loss + ALPHA * local_loss(taps, mark, SHARE * targets)).backward()
    arguments = SFTConfig(
        str(tmp_path),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        max_grad_norm=0,
        gradient_checkpointing=False,
    )
    data = Dataset.from_dict({"input_ids": [row.tolist() for row in tokens], "original": original})
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(64)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w2")
    gradients = Gradients()
    ExtendingSFT(
        adapted(),
        arguments,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[gradients],
        alpha=ALPHA,
        original_share=SHARE,
    ).train()
    assert_same(gradients.of, {name: p.grad for name, p in model.named_parameters() if p.requires_grad})


def test_rows_behind_one_another_keep_their_roles():
    examples = [{"input_ids": [5, 6, 7], "original": False}, {"input_ids": [8, 9], "original": True}]
    flat = {"input_ids": torch.tensor([[5, 6, 7, 8, 9, 0]])}
    assert marked(examples, flat).tolist() == [[False, False, False, True, True, False]]


def test_the_share_of_original_rows_is_counted_in_the_data(tmp_path):
    trainer = Extending(adapted(), TrainingArguments(tmp_path, report_to="none", use_cpu=True), train_dataset=data())
    assert trainer.original_share == 0.5
    assert "original" in trainer.get_train_dataloader().dataset.column_names


@pytest.mark.parametrize(
    ("model", "columns", "says"),
    [
        ("plain", {"original": [True, False]}, "no gated adapter"),
        ("adapted", {}, "no column `original`"),
        ("adapted", {"original": [False, False]}, "rows of both kinds"),
    ],
)
def test_what_cannot_be_is_said_before_it_trains(tmp_path, model, columns, says):
    made = adapted() if model == "adapted" else tiny_model("llama")
    rows_of = Dataset.from_dict({"input_ids": [[5, 6], [7, 8]], **columns})
    with pytest.raises(ModelError, match=says):
        Extending(made, TrainingArguments(tmp_path, report_to="none", use_cpu=True), train_dataset=rows_of)


def test_packed_rows_are_refused():
    with pytest.raises(ModelError, match="turn packing off"):
        marked([{"input_ids": [5, 6, 7]}], {"input_ids": torch.tensor([[5, 6, 7]])})

"""Commands on runs and bases: let them write, publish a run, add tokens to a base."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import AT_HOME, WorkspaceFolder, app, existing
from storage.errors import InputError

RunToUse = Annotated[str, typer.Argument(help="A run's id or its beginning, its name, or its folder.")]
MaxTokens = Annotated[int, typer.Option(help="Longest text.", min=1)]
Temperature = Annotated[
    float, typer.Option(help="Of the sampling; 0 takes the likeliest token each time.", min=0, max=1000)
]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run Python that comes with the base.")]
SamplingSeed = Annotated[int, typer.Option("--seed", help="Of the sampling.", min=0, max=2**32 - 1)]


@app.command()
def generate(
    run: RunToUse,
    prompt: Annotated[str, typer.Argument(help="Text to go on from.")],
    workspace: WorkspaceFolder = Path("workspace"),
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.0,
    seed: SamplingSeed = 0,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Let a run go on from a text, shown as it is made."""
    from flows.cli.generate import generate as write
    from flows.cli.generate import run_folder

    options = {"max_new_tokens": max_tokens, "temperature": temperature, "seed": seed}
    write(run_folder(run, workspace), prompt, trust_remote_code, **options)


@app.command()
def chat(
    run: RunToUse,
    workspace: WorkspaceFolder = Path("workspace"),
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.7,
    seed: SamplingSeed = 0,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Talk to a run, a line at a time; Ctrl-D ends."""
    from flows.cli.generate import chat as talk
    from flows.cli.generate import run_folder

    options = {"max_new_tokens": max_tokens, "temperature": temperature, "seed": seed}
    talk(run_folder(run, workspace), trust_remote_code, **options)


@app.command()
def push(
    run: RunToUse,
    hub_id: Annotated[str, typer.Argument(help="Where to: user-or-organisation/name.")],
    workspace: WorkspaceFolder = Path("workspace"),
    base: Annotated[str | None, typer.Option(help="Hub id of the base, where the run's was a folder.")] = None,
    private: Annotated[bool, typer.Option(help="Visible to you only.")] = True,
) -> None:
    """Put a run's adapter or model on the Hugging Face hub. The token is HF_TOKEN of the environment."""
    from flows.cli.generate import run_folder
    from flows.cli.push import push as upload

    print(upload(run_folder(run, workspace), hub_id, base, private, workspace))


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="Folder or hub id of the base.")],
    out: Annotated[Path, typer.Option(**AT_HOME, help="JSONL file to write: a text source for a config.")],
    documents: Annotated[int, typer.Option(help="How many documents.", min=1)] = 1000,
    max_tokens: Annotated[int, typer.Option(help="Longest document.", min=2)] = 512,
    seed: SamplingSeed = 0,
) -> None:
    """Let a base write replay text of its own. For where none of its training data is at hand."""
    from nr_core.generation.own_text import sample_text
    from nr_core.settings import BaseSpec

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} documents", end="", file=sys.stderr)

    sample_text(BaseSpec(model=model), out, documents, max_tokens, seed, show)
    print(f"\n{out}", file=sys.stderr)


@app.command()
def add_tokens(
    model: Annotated[str, typer.Argument(help="Folder or hub id of the base.")],
    corpus: Annotated[str, typer.Argument(help="Published corpus of the new language.")],
    keep: Annotated[list[str], typer.Option(help="Corpus that stays tokenised as it is (one --keep each).")],
    out: Annotated[Path, typer.Option(**AT_HOME, help="Folder to write: a base, for a config.")],
    tokens: Annotated[int, typer.Option(help="At most so many.", min=1, max=1 << 20)] = 1000,
    replay: Annotated[
        list[str] | None, typer.Option(help="Corpus of --keep on which the new tokens are made silent; default: all.")
    ] = None,
    workspace: WorkspaceFolder = Path("workspace"),
) -> None:
    """Give a base tokens for a new language. Other text stays tokenised as before."""
    from flows.steps.tokens import SPLITS, published_version
    from nr_core.settings import BaseSpec
    from nr_core.tokenization.new_tokens import add_tokens as write
    from pipelines.corpus.shards import shard_files
    from storage.workspace import Workspace

    place = Workspace(existing(workspace))
    if out.exists():
        raise InputError(f"--out: {out} is there already; give another folder, or delete it")
    new, *kept = [place.corpus_version(name, published_version(name, place)) for name in (corpus, *keep)]
    if strange := set(replay or []) - set(keep):
        raise InputError(f"--replay: {', '.join(sorted(strange))} is no corpus of --keep; name it there too")
    original = [shard for version in kept for split in SPLITS for shard in shard_files(version, split)]
    silent_on = [version for name, version in zip(keep, kept, strict=True) if name in (replay or keep)]
    seen = [shard for version in silent_on for shard in shard_files(version, "train")]
    base, text = BaseSpec(model=model), shard_files(new, "train")
    found = write(base, text, original, tokens, out, seen, partial(print, file=sys.stderr))
    print(
        f"{out}: {found['tokens']} tokens more, {found['fertility_before']:.2f} -> {found['fertility_after']:.2f} "
        f"tokens a word of {corpus}; set base.model to it, and `embeddings: new_rows` in a method to train their rows"
    )

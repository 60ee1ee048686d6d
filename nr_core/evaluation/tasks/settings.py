"""Settings of a task: its YAML file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from nr_core.settings import Settings

Kind = Literal["multiple_choice", "minimal_pairs", "word_order", "acceptability", "last_word"]
NEEDED: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("choices", "answer"),
    "minimal_pairs": ("good", "bad"),
    "word_order": (),
    "acceptability": ("sentence", "acceptable"),
    "last_word": ("prompt", "continuation"),
}


class TaskData(Settings):
    """The source of a task's rows. A file <task_data>/<name of the task>.jsonl goes before the hub."""

    hub: str | None = Field(default=None, description="id of the data set on the Hugging Face hub")
    subset: str = Field(default="default", description="configuration of the data set on the hub")
    split: str = Field(default="test", description="split on the hub")
    files: list[str] = Field(
        default_factory=list, description="files or globs, relative to the folder `evaluation.task_data`"
    )
    made: Literal["in_context"] | None = Field(
        default=None, description="in_context: rules shown by examples of invented words, made here"
    )
    source: str | None = Field(default=None, description="address where the files can be had")
    format: Literal["json", "clams", "conllu"] = Field(
        default="json", description="of the files: JSON, JSONL or Parquet; CLAMS' text; CoNLL-U"
    )

    @model_validator(mode="after")
    def _one_place(self) -> TaskData:
        if sum(map(bool, (self.hub, self.files, self.made))) != 1:
            raise ValueError("data: give one of hub (an id), files (a list) and made (a name)")
        return self


class FewShot(Settings):
    """Solved examples before each question: the first of a split, in its order."""

    examples: int = Field(ge=1, description="how many")
    split: str = Field(default="train", description="split on the hub that they are taken from")
    same: str | None = Field(default=None, description="field that must be equal in question and examples")


class TaskSettings(Settings):
    """One task. Expressions and prompts are Jinja over a row's fields."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="what the config and tables call it")
    kind: Kind = Field(description="how it is asked and scored")
    language: str = Field(pattern=r"^[a-z]{3}$", description="ISO 639-3")
    text_domain: str = Field(description="what its texts are about")
    data: TaskData = Field(description="where its rows come from")
    description: str = Field(default="", description="prompt: text before everything")
    prompt: str = Field(default="", description="prompt: the context that choices or the continuation follow")
    delimiter: str = Field(default=" ", description="stands between prompt and choice")
    choices: str | None = Field(default=None, description="expression: list of the answers")
    answer: str | None = Field(default=None, description="expression: index of the right answer, from 0")
    good: str | None = Field(default=None, description="expression: the grammatical sentence")
    bad: str | None = Field(default=None, description="expression: the ungrammatical one")
    sentence: str | None = Field(default=None, description="expression: the sentence to be judged")
    acceptable: str | None = Field(default=None, description="expression: true where it is acceptable")
    continuation: str | None = Field(default=None, description="expression: what is to be predicted")
    part: str | None = Field(default=None, description="expression: the part of the set that a row belongs to")
    few_shot: FewShot | None = Field(default=None, description="solved examples; default: none")

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> TaskSettings:
        for field in NEEDED[self.kind]:
            if not getattr(self, field):
                raise ValueError(f"{field}: a task of kind {self.kind} needs it; add {field}")
        if self.kind == "word_order" and self.data.format != "conllu":
            raise ValueError("data.format: word_order is made of CoNLL-U sentences; set format: conllu")
        return self


def variants_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks of a file: one, or one for each mapping of `variants`, laid over the rest of the file.

    Raises ValueError for `variants` of another form.
    """
    if "variants" not in content:
        return [content]
    variants = content["variants"]
    if not isinstance(variants, list) or not variants or not all(isinstance(variant, dict) for variant in variants):
        raise ValueError("variants: give a list of mappings, each what differs in one task, like [{name: ...}]")
    shared = {name: value for name, value in content.items() if name != "variants"}
    return [{**shared, **variant, **_data_of(shared, variant)} for variant in variants]


def _data_of(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return the key `data` with the fields of all layers, the last one's before; what is no mapping stays as it is."""
    given = [layer["data"] for layer in layers if "data" in layer]
    if len(given) < 2 or not all(isinstance(data, dict) for data in given):
        return {}
    return {"data": {name: value for data in given for name, value in data.items()}}

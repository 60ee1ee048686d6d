"""The rules as the tables of docs/filters.md: `python -m pipelines.rules_table` prints them."""

from collections.abc import Iterator, Sequence

from pipelines.fineweb2_thresholds import FINEWEB2
from pipelines.rules import RULES


def rules_table() -> str:
    """All rules, with their thresholds by profile, in Markdown."""
    rows = (
        [f"`{rule.name}`", rule.meaning, *map(_shown, (rule.gopher, rule.fineweb, rule.fineweb2)), rule.source]
        for rule in RULES
    )
    head = ["rule and reason", "what it leaves out: its", "gopher", "fineweb2, English", "fineweb2, others", "source"]
    return "\n".join(_table(head, rows))


def fineweb2_table() -> str:
    """FineWeb2's thresholds by language, in Markdown."""
    columns = next(iter(FINEWEB2.values()))
    rows = ([language, *(f"{limit:g}" for limit in limits.values())] for language, limits in FINEWEB2.items())
    return "\n".join(_table(["language", *(f"`{name}`" for name in columns)], rows))


def _shown(limit: float | str | None) -> str:
    if limit is None or isinstance(limit, str):
        return limit or ""
    return f"{limit:g}"


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    print(rules_table(), fineweb2_table(), sep="\n\n")

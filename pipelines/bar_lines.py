"""Lines that hold nothing but `|`, which extraction leaves where a table had empty cells.

FineWeb2's last step: datatrove's SymbolLinesFormatter with `|` and a paragraph break in the place of such lines
(fineweb-2-pipeline.py of github.com/huggingface/fineweb-2).
"""

from itertools import groupby


def break_at_bar_lines(text: str) -> str:
    """`text` with a paragraph break for each run of lines of `|` and white space; blank lines stay."""
    if "|" not in text:
        return text
    lines: list[str] = []
    for is_run, run in groupby(text.split("\n"), _is_bars):
        lines.extend(["\n"] if is_run else run)
    return "\n".join(lines).strip()


def _is_bars(line: str) -> bool:
    return "|" in line and not line.replace("|", "").strip()

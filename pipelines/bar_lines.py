"""Lines that hold nothing but `|`, which extraction leaves where a table had empty cells.

FineWeb2's last step: datatrove's SymbolLinesFormatter with `|` (fineweb-2-pipeline.py of
github.com/huggingface/fineweb-2).
"""


def remove_bar_lines(text: str) -> str:
    """`text` without lines of `|` and white space; lines of white space alone stay."""
    if "|" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if "|" not in line or line.replace("|", "").strip())

"""The fenced blocks of README, CONTRIBUTING and docs/, and the shell commands in them.

A comment that no page shows says of the block below it by which test it is run, or why it is not:

    <!-- run by tests/flows/docs/test_docs_sql.py -->
    <!-- not run: needs a GPU -->

`<!-- sql blocks run by ... -->` says so of all blocks of that language in a page.
"""

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (?:run by (\S+)|not run: ([^>]+)) -->\s*\Z")
PAGE_MARK = re.compile(r"^<!-- (\w+) blocks run by (\S+) -->$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(nr [^`\n]+)`(?!`)")
BETWEEN = {"&&", "||", ";", "|", "&"}  # commands of one line
ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str  # "" of what is only shown: output, drawings
    code: str
    test: str = ""  # a file of the repository
    reason: str = ""  # why no test runs it

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page, in its order; `text` in place of what it holds."""
    text = page.read_text(encoding="utf-8") if text is None else text
    of_page = dict(PAGE_MARK.findall(text))
    found = []
    for match in BLOCK.finditer(text):
        _, language, code = match.groups()
        mark = MARK.search(text[: match.start()])
        test, reason = mark.groups(default="") if mark else (of_page.get(language, ""), "")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, textwrap.dedent(code), test, reason))
    return found


def without_blocks(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def commands(code: str) -> list[list[str]]:
    """Return the words of each command of a shell block, without assignments before it and comments behind."""
    found: list[list[str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in BETWEEN:
                found += [words] if words else []
                words = []
            elif words or not ASSIGNMENT.match(word):
                words.append(word)
    return found

"""Files and modules that comments, docstrings and CONTRIBUTING.md name are there, under these names."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CODE = ("benchmarks", "configs", "docs", "examples", "flows", "nr_core", "pipelines", "storage", "tests")
FILE = re.compile(r"(?<![\w./@<>*:-])(?!//)[\w./-]+\.(?:py|md|sql|tsv)\b(?![\w/])")
MODULE = re.compile(r"(?<![\w./-])(?:flows|nr_core|pipelines|storage)(?:\.(?!py\b)[a-z_]\w*)+")
OF_OTHERS = {"flows.py", "json.py", "fineweb-2-pipeline.py", "mlflow/store/tracking/dbmodels/models.py"}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a file says to its readers, with its line: comments and docstrings, or the whole page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (said := ast.get_docstring(node)):
            yield node.body[0].lineno, said


def is_there(name: str) -> bool:
    """Whether a file is here, named from the repository's root, from a folder within, or by its name alone."""
    return name in OF_OTHERS or re.sub(r"^(?:\.\.?/)+", "", name) in NAMES or (REPOSITORY / name).is_file()


def is_module(name: str) -> bool:
    """Whether a module is here, or a package, or what one of them has."""
    path = REPOSITORY / name.replace(".", "/")
    return any(
        each.with_suffix(".py").is_file() or each.is_dir() for each in (path, path.parent) if each.parent != REPOSITORY
    )


ALL = [str(path.relative_to(REPOSITORY)) for folder in CODE for path in (REPOSITORY / folder).rglob("*.*")]
NAMES = {"/".join(name.split("/")[first:]) for name in ALL for first in range(name.count("/") + 1)}
READ = [REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / name for name in ALL if name.endswith(".py"))]


def test_what_is_named_is_there():
    gone = [
        f"{path.relative_to(REPOSITORY)}:{line}: {found[0]}"
        for path in READ
        for line, said in prose(path)
        for kind, holds in ((FILE, is_there), (MODULE, is_module))
        for found in kind.finditer(said)
        if not holds(found[0])
    ]
    assert gone == []


def test_a_name_that_is_gone_is_found(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""See tests/nowhere.py and tests/test_named_files.py."""\nx = 1  # pipelines.attempt\n'
    )
    said = [text for _, text in prose(tmp_path / "a.py")]
    assert [found[0] for text in said for found in FILE.finditer(text) if not is_there(found[0])] == [
        "tests/nowhere.py"
    ]
    assert [found[0] for text in said for found in MODULE.finditer(text) if not is_module(found[0])] == [
        "pipelines.attempt"
    ]

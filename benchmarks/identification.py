"""Calibration of language identification: how sure the identifier is of text whose language is known.

    python benchmarks/identification.py [--help-pages FOLDER_OR_DEB] [--data FOLDER] [--model PATH | --heliport]

Text comes from GNOME's help (--help-pages: Debian's gnome-user-docs_*_all.deb, or its usr/share/help; paragraphs that
are still in English left out) and from Universal Dependencies treebanks and ELTeC novels (--data: a folder with
eval/ud.tar.gz and text/eltec-*.jsonl.gz, by default ../shared/data where no help pages are given). It is cut into
pieces of 500 to 600 characters, at most 400 a language and source. --model is another fastText identifier in place of
lid.176, --heliport is heliport, for which a language that it tells only as a macrolanguage is that; thresholds of
pipelines/text/languages.py are lid.176's.

Printed are, by source and language: pieces, the share of them identified as this language with any score, with at least
.3 to .8, and with this project's threshold of the language, and what the others were taken for. Below it stand the
languages that keep less than .95 at their threshold. The last line is JSON: kept, the least share of a language whose
neighbours can be told from it (ALIKE lists those that cannot).
"""

import argparse
import gzip
import json
import random
import re
import subprocess
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from pipelines.settings import DocumentSettings
from pipelines.text.identify import HELIPORT_MACROLANGUAGES, Identifier, load_identifier
from pipelines.text.languages import GROUP_OF, code_of_label, threshold
from storage.keys import file_sha256

LEAST, MOST, PIECES = 500, 600, 400  # characters of a piece, and pieces of a language
SHARES_AT = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
ALIKE = {"glg", *GROUP_OF}  # lid.176 takes a tenth of their text for their neighbours', at any threshold
_ENGLISH = ("the", "and", "to", "of")  # two of these: not translated


def pieces(paragraphs: Iterable[str]) -> list[str]:
    """Put different paragraphs together to pieces, and draw some."""
    found, piece = [], ""
    for paragraph in dict.fromkeys(paragraphs):
        piece = f"{piece} {paragraph}".strip()
        if len(piece) > LEAST:
            found.append(piece[:MOST])
            piece = ""
    random.Random(0).shuffle(found)
    return found[:PIECES]


def help_pages(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a name and pieces for each folder of help pages named by a locale, such as sr@latin."""
    english = {text for file in folder.glob("C/gnome-help/*.page") for text in _mallard(file)}
    for language in sorted(folder.iterdir()):
        texts = (text for file in sorted(language.glob("gnome-help/*.page")) for text in _mallard(file))
        is_english = language.name == "C"
        yield (
            f"help {language.name}",
            pieces(
                text
                for text in texts
                if is_english or (text not in english and sum(word in text.split() for word in _ENGLISH) < 2)
            ),
        )


def _mallard(file: Path) -> list[str]:
    try:
        page = ElementTree.parse(file)
    except ElementTree.ParseError:
        return []  # a page that includes another
    parts = (element for element in page.iter() if element.tag.rpartition("}")[2] in ("p", "title", "desc", "item"))
    texts = (" ".join("".join(part.itertext()).split()) for part in parts)
    return [text for text in texts if len(text) > 20]


def treebanks(archive: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a name and pieces for each language of an archive of CoNLL-U files, named de_gsd-ud-dev.conllu."""
    texts = defaultdict[str, list[str]](list)
    with tarfile.open(archive) as files:
        for member in files:
            if member.name.endswith(".conllu") and (file := files.extractfile(member)):
                language = Path(member.name).name.partition("_")[0]
                texts[language] += re.findall("(?m)^# text = (.*)", file.read().decode())
    for language, sentences in sorted(texts.items()):
        yield f"treebanks {language}", pieces(sentences)


def novels(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a name and pieces for each eltec-LANGUAGE.jsonl.gz."""
    for file in sorted(folder.glob("eltec-*.jsonl.gz")):
        with gzip.open(file, "rt") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        # Here and there in each novel, not the whole.
        places = ((text, len(text) * ninth // 9) for text in texts for ninth in range(9))
        parts = (text[start : start + LEAST + 50] for text, start in places)
        yield f"novels {file.name.split('-')[1].split('.')[0]}", pieces(" ".join(part.split()) for part in parts)


def language_of(name: str) -> str:
    locale = re.split("[_@]", name.split()[1])[0]
    return "eng" if locale == "C" else code_of_label(locale)


def told(name: str, identify: Identifier) -> str:
    """Return the code under which this identifier has the language of a text."""
    language = language_of(name)
    return language if language in identify.languages else HELIPORT_MACROLANGUAGES.get(language, language)


def measure(name: str, texts: list[str], identify: Identifier) -> float:
    """Print the row of a language, and return the share kept at its threshold."""
    language, taken_for = told(name, identify), Counter[str]()
    scores = []
    for text in texts:
        found, score = identify(text)
        taken_for[found] += 1
        scores.append(score if found == language else -1.0)
    shares = [sum(score >= least for score in scores) / len(texts) for least in (*SHARES_AT, threshold(language))]
    del taken_for[language]
    others = ", ".join(f"{count} {other}" for other, count in taken_for.most_common(3))
    print(
        f"{name:14} {language} {len(texts):5} ",
        *(f"{share:6.3f}" for share in shares[:-1]),
        f"   {threshold(language):.1f}: {shares[-1]:.3f}  {others}",
        flush=True,
    )
    return shares[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--help-pages", type=Path, help="gnome-user-docs_*_all.deb, or its usr/share/help")
    parser.add_argument("--data", type=Path, help="folder with eval/ud.tar.gz and text/eltec-*.jsonl.gz")
    parser.add_argument("--model", type=Path, help="another fastText identifier")
    parser.add_argument("--heliport", action="store_true", help="heliport (pip install 'neutral-residues[heliport]')")
    arguments = parser.parse_args()
    data = arguments.data or (None if arguments.help_pages else Path("../shared/data"))
    settings = DocumentSettings(identifier="heliport" if arguments.heliport else "fasttext")
    if arguments.model:
        digest = file_sha256(arguments.model)
        settings = DocumentSettings(language_model=str(arguments.model), language_model_sha256=digest)
    identify = load_identifier(settings)
    print(f"{'':14}     pieces   ", *(f"{least or 'any':>6}" for least in SHARES_AT), "   kept", flush=True)
    kept: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, texts in sources(arguments.help_pages, data, Path(folder)):
            if len(texts) >= 30 and told(name, identify) in identify.languages:
                kept[name] = measure(name, texts, identify)
    print("below .95:", {name: round(share, 3) for name, share in kept.items() if share < 0.95})
    print(json.dumps({"kept": min(share for name, share in kept.items() if language_of(name) not in ALIKE)}))


def sources(help_folder: Path | None, data: Path | None, scratch: Path) -> Iterator[tuple[str, list[str]]]:
    if help_folder:
        if help_folder.suffix == ".deb":
            subprocess.run(["dpkg-deb", "-x", str(help_folder), str(scratch)], check=True)
            help_folder = scratch / "usr/share/help"
        yield from help_pages(help_folder)
    if data:
        yield from treebanks(data / "eval" / "ud.tar.gz")
        yield from novels(data / "text")


if __name__ == "__main__":
    main()

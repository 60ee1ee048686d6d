"""The scores once more, as plainly as their definitions read, to hold the fast ones against."""

import re
import unicodedata
from collections import Counter

from pipelines.text.scores.line_scores import TERMINALS
from pipelines.text.words import STOP_WORDS


def slow_scores(text: str, language: str) -> dict[str, float | None]:
    return {**quality(text, language), **repetition(text), **c4(text), **fineweb(text)}


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def quality(text: str, language: str) -> dict[str, float | None]:
    words = text.split()
    proper = [word for word in words if any(unicodedata.category(c)[0] in "LMN" for c in word)]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return {
        "words": len(proper),
        "mean_word_length": share(sum(len(word) for word in proper), len(proper)),
        "hash_ratio": share(text.count("#"), len(words)),
        "ellipsis_ratio": share(text.count("...") + text.count("…"), len(words)),
        "bullet_line_share": share(sum(line.startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_line_share": share(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "alphabetic_word_share": share(sum(any(c.isalpha() for c in word) for word in words), len(words)),
        "stop_words": sum(word in words for word in STOP_WORDS[language]) if language in STOP_WORDS else None,
    }


def duplicates(elements: list[str]) -> list[str]:
    return [element for place, element in enumerate(elements) if element in elements[:place]]


def repetition(text: str) -> dict[str, float | None]:
    paragraphs, lines, words = re.split(r"\n{2,}", text), re.split(r"\n+", text), text.split()
    found: dict[str, float | None] = {
        "duplicate_paragraph_share": share(len(duplicates(paragraphs)), len(paragraphs)),
        "duplicate_paragraph_character_share": share(len("".join(duplicates(paragraphs))), len(text)),
        "duplicate_line_share": share(len(duplicates(lines)), len(lines)),
        "duplicate_line_character_share": share(len("".join(duplicates(lines))), len(text)),
    }
    for n in (2, 3, 4):
        counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        top = max(counts.items(), key=lambda item: item[1], default=((), 0))  # the first of equals
        found[f"top_{n}_gram_share"] = share(len(" ".join(top[0])) * top[1], len(text))
    for n in (5, 6, 7, 8, 9, 10):
        seen, characters, place = set(), 0, 0
        while place + n <= len(words):
            gram = tuple(words[place : place + n])
            if gram in seen:
                characters += len("".join(gram))
                place += n
            else:
                seen.add(gram)
                place += 1
        found[f"duplicate_{n}_gram_share"] = share(characters, len(text))
    return found


def c4(text: str) -> dict[str, float | None]:
    sentences = lorem = curly = 0
    policy = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
    for line in text.split("\n"):
        words, lower = line.split(), line.lower()
        if len(words) < 3 or any(len(word) > 1000 for word in words):
            continue
        lorem += "lorem ipsum" in lower
        if "javascript" in lower:
            continue
        curly += "{" in line
        if any(phrase in lower for phrase in policy):
            continue
        sentences += len(re.findall(r"[.!?…।؟۔።](?=[ \t\"'”’»)\]]|$)|[。！？｡]", line))
        sentences += not re.search(r"[.!?…।؟۔።。！？｡][ \t\"'”’»)\]]*$", line)
    return {"c4_sentences": sentences, "lorem_ipsum_lines": lorem, "curly_bracket_lines": curly}


def fineweb(text: str) -> dict[str, float | None]:
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        "lines": len(lines),
        "terminal_line_share": share(sum(line[-1] in TERMINALS for line in lines), len(lines)),
        "short_line_share": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "repeated_line_character_share": share(len("".join(duplicates(lines))), len(text.replace("\n", ""))),
        "line_break_ratio": share(max(len(lines) - 1, 0), len(text.split())),
    }

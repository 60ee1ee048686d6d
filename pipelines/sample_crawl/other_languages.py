"""German, Spanish, Hungarian and Danish, which a corpus must keep out: inflection and spelling."""

import re

from pipelines.sample_crawl.grammar import Forms


def inflect_german(speech: str, entry: str) -> Forms:
    """nm, nf, nn: the noun under its gender; adj: b (as it stands), e, en; verb: inf, s, done."""
    if speech in ("nm", "nf", "nn"):
        return {speech[1]: entry}
    if speech == "adj":
        return {"b": entry, "e": entry + "e", "en": entry.removesuffix("e") + "en"}
    if speech == "verb":
        return dict(zip(("inf", "s", "done"), entry.split("/"), strict=True))
    return {"": entry}


def inflect_spanish(speech: str, entry: str) -> Forms:
    """nm, nf: singular and plural; adj: ms fs mp fp; verb: the same (third person) and inf."""
    parts = entry.split("/")
    if speech in ("nm", "nf"):
        return {speech[1] + "s": parts[0], speech[1] + "p": parts[1] if len(parts) > 1 else parts[0] + "s"}
    if speech == "adj":
        stem = entry[:-1]
        return {"ms": entry, "fs": stem + "a", "mp": entry + "s", "fp": stem + "as"}
    if speech == "verb":
        head, _, rest = parts[0].partition(" ")
        regular = [f"{head[:-1]} {rest}".strip(), f"{head[:-1]}n {rest}".strip()]
        singular, plural = parts[1:] or regular
        return {"inf": parts[0], "ms": singular, "fs": singular, "mp": plural, "fp": plural}
    return {"": entry}


def inflect_hungarian(speech: str, entry: str) -> Forms:
    """noun: s, acc, in; verb: s (third person, definite object) and inf."""
    parts = entry.split("/")
    if speech == "noun":
        return dict(zip(("s", "acc", "in"), parts, strict=True))
    return {"s": parts[1], "inf": parts[2]} if speech == "verb" else {"": entry}


def inflect_danish(speech: str, entry: str) -> Forms:
    """nc, nt: c or t (indefinite), with def and p added (cdef, cp); adj: c, t, p; verb: inf, s, past."""
    parts = entry.split("/")
    if speech in ("nc", "nt"):
        return {speech[1] + form: word for form, word in zip(("", "def", "p"), parts, strict=True)}
    if speech == "adj":
        return dict(zip(("c", "t", "p"), parts, strict=True))
    return {"inf": parts[0], "s": parts[0] + "r", "past": parts[1]} if speech == "verb" else {"": entry}


def polish_german(text: str) -> str:
    """Contracts a preposition and its article (im, am)."""
    return re.sub(r"\b(i)n dem\b|\b(a)n dem\b", lambda match: (match[1] or match[2]) + "m", text)


def polish_spanish(text: str) -> str:
    """Contracts de el and a el."""
    return re.sub(r"\b(de|a) el\b", lambda match: "del" if match[1] == "de" else "al", text)


def polish_hungarian(text: str) -> str:
    """Writes `az` for `a` before a vowel."""
    return re.sub(r"\ba (?=[aáeéiíoóöőuúüű])", "az ", text)

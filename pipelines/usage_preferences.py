"""What site owners say of training in usage preferences, which stand in HTTP headers and in robots.txt.

- `Content-Usage: train-ai=n`: IETF AIPREF, https://datatracker.ietf.org/doc/draft-ietf-aipref-vocab/ (the statement),
  https://datatracker.ietf.org/doc/draft-ietf-aipref-attach/ (the header, and the rule in robots.txt).
- `Content-Signal: ai-train=no`: https://contentsignals.org/, which Cloudflare writes for millions of sites.

Both are dictionaries of structured fields (RFC 9651). They are read more leniently than that: who wrote `ai-train="No"`
or a semicolon for a comma meant it.
"""

import re
from collections.abc import Iterable, Mapping

CONTENT_USAGE, CONTENT_SIGNAL = "content-usage", "content-signal"
# The categories whose refusal is one of training, by header. A narrower one, of generative models, is ours too.
CATEGORIES: Mapping[str, frozenset[str]] = {
    CONTENT_USAGE: frozenset({"train-ai", "train-genai"}),
    CONTENT_SIGNAL: frozenset({"ai-train"}),
}
_NO, _YES = frozenset({"n", "no", "?0"}), frozenset({"y", "yes", "?1", ""})
_MAX_CHARACTERS = 2000  # of a statement that are looked at


def refuses_training(field: str, statements: Iterable[str]) -> bool:
    """Whether one of the statements of a header or rule refuses training; the refusal wins, as AIPREF combines them."""
    return any(says_of_training(field, statement) is False for statement in statements)


def says_of_training(field: str, statement: str) -> bool | None:
    """Whether a statement allows training; None where it does not speak of it."""
    said: set[bool] = set()
    for member in re.split("[,;]", statement[:_MAX_CHARACTERS].lower()):
        category, _, value = member.partition("=")
        if category.strip() in CATEGORIES[field]:
            value = value.strip(" \t\"'")
            said |= {False} if value in _NO else {True} if value in _YES else set()
    return None if not said else False not in said

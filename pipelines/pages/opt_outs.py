"""Site owners' opt-outs from the use of their text, as a page and its HTTP headers state them.

- Values of X-Robots-Tag and of robots meta tags (https://developers.google.com/search/docs/crawling-indexing/
  robots-meta-tag) such as `noai`, which DeviantArt introduced in 2022. An opt-out that is addressed to one crawler is
  honoured as if it addressed all.
- The TDM Reservation Protocol's header and meta tag (https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/):
  `tdm-reservation: 1`. Its third form, a file on the site, is not in a page's capture.
- Usage preferences in the headers Content-Usage and Content-Signal (`refuses_training`).
"""

import re
from collections.abc import Iterable, Mapping

from resiliparse.parse.html import HTMLTree

from pipelines.pages.parse import Markup
from pipelines.pages.warc import Capture
from pipelines.settings import OptOutSettings

# What site owners say of training in usage preferences, which stand in HTTP headers and in robots.txt.
#
# - `Content-Usage: train-ai=n`: IETF AIPREF, https://datatracker.ietf.org/doc/draft-ietf-aipref-vocab/ (the statement),
#   https://datatracker.ietf.org/doc/draft-ietf-aipref-attach/ (the header, and the rule in robots.txt).
# - `Content-Signal: ai-train=no`: https://contentsignals.org/, which Cloudflare writes for millions of sites.
#
# Both are dictionaries of structured fields (RFC 9651). They are read more leniently than that: who wrote
# `ai-train="No"`, `ai-train: false`, or a semicolon or a space for a comma, meant it.


CONTENT_USAGE, CONTENT_SIGNAL = "content-usage", "content-signal"
# The categories whose refusal is one of training, by header. A narrower one, of generative models, is ours too.
CATEGORIES: Mapping[str, frozenset[str]] = {
    CONTENT_USAGE: frozenset({"train-ai", "train-genai"}),
    CONTENT_SIGNAL: frozenset({"ai-train"}),
}
# Those that hold them, of AIPREF's earlier drafts: they count where a statement says nothing of training itself.
_WIDER: Mapping[str, frozenset[str]] = {CONTENT_USAGE: frozenset({"bots", "all"}), CONTENT_SIGNAL: frozenset()}
_NO, _YES = frozenset({"n", "no", "?0", "0", "false"}), frozenset({"y", "yes", "?1", "1", "true", ""})
_BETWEEN_MEMBERS = re.compile(r"[,;]|(?<![ \t])[ \t]++(?=[a-z][a-z-]*+[ \t]*+[=:])")
_MAX_CHARACTERS = 2000  # of a statement that are looked at


def refuses_training(field: str, statements: Iterable[str]) -> bool:
    """Tell whether one of the statements of a header or rule refuses training; the refusal wins, as AIPREF combines
    them.
    """
    return any(says_of_training(field, statement) is False for statement in statements)


def says_of_training(field: str, statement: str) -> bool | None:
    """Tell whether a statement allows training; None where it does not speak of it."""
    said: set[bool] = set()
    of_wider: set[bool] = set()
    for member in _BETWEEN_MEMBERS.split(statement[:_MAX_CHARACTERS].lower()):
        category, *rest = re.split("[=:]", member, maxsplit=1)
        value = "".join(rest).strip(" \t\"'")
        answer = {False} if value in _NO else {True} if value in _YES else set()
        if category.strip() in CATEGORIES[field]:
            said |= answer
        elif category.strip() in _WIDER[field]:
            of_wider |= answer
    said = said or of_wider
    return None if not said else False not in said


# `robots`, or the name of one crawler: `googlebot`, `ccbot`; also where it stands as a header's or a property's name.
_NAMES = ("name", "http-equiv", "property")
_META = ", ".join(f"meta[{name}*={word} i][content]" for name in _NAMES for word in ("bot", "tdm-reservation"))
_WORD = re.compile(r"[\w-]+")  # whatever stands around it: commas, colons, quotes, a byte order mark
# To one of `-`, 0 to 9, a to z, or a sign between them: the smallest are 45 and hexadecimal 2d.
_REFERENCE = re.compile(rb"&#0*(?:4[5-9]|[5-9][0-9]|1[0-2][0-9])(?![0-9])|&#x0*(?:2d|[3-7][0-9a-f])(?![0-9a-f])")
_RESERVED = ("1",)  # value of tdm-reservation; of several the one that reserves holds
_META_TAG = re.compile(rb"<meta([^>]*+)", re.IGNORECASE)
# What was joined by `>`, of tags that end where the first `>` behind them stands: attributes as the standard has them,
# where each quote is one around a value. What matched is never tried in another way (`*+`): a hostile tag would take
# exponential time.
_WHOLE_TAGS = re.compile(
    rb"(?:>(?:(?:[ \t\n\f\r/]++|(?<=[\"']))[^ \t\n\f\r/>=\"']++"
    rb"(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:\"[^\">]*+\"|'[^'>]*+'|[^ \t\n\f\r>\"'=<`]++))?+)*+[ \t\n\f\r/]*+)*+"
)


def header_opt_out(capture: Capture, settings: OptOutSettings) -> str | None:
    """Return the reason of an opt-out by HTTP headers; None if there is none."""
    if any(_says(value, settings.robots) for value in capture.robots):
        return "x_robots_tag"
    if settings.tdm and _says(capture.tdm_reservation, _RESERVED):
        return "tdm_header"
    if settings.usage_preferences and refuses_training(CONTENT_USAGE, capture.content_usage):
        return "content_usage_header"
    if settings.usage_preferences and refuses_training(CONTENT_SIGNAL, capture.content_signal):
        return "content_signal_header"
    return None


def page_opt_out(markup: Markup, tree: HTMLTree, settings: OptOutSettings) -> str | None:
    """Return the reason of an opt-out by meta tags: meta_robots or tdm_meta; None if there is none."""
    if tree.document is None or not may_opt_out(markup, settings):
        return None
    for tag in tree.document.query_selector_all(_META)[:]:  # its own list looks each up from the start again
        name = next(filter(None, map(tag.get_attribute, _NAMES)), "").strip().lower()
        content = tag.get_attribute("content") or ""
        if name == "tdm-reservation":
            if settings.tdm and _says(content, _RESERVED):
                return "tdm_meta"
        elif _says(content, settings.robots):
            return "meta_robots"
    return None


def may_opt_out(markup: Markup, settings: OptOutSettings) -> bool:
    """Tell whether a meta tag in the page's bytes holds a word that opts out: a look in a third of the time of the
    query.

    True also where a tag spells with character references (`no&#97;i`), may go on behind its first `>`, or holds the
    beginning of another.
    """
    end, tags = 0, [b""]
    for start in markup.tags[markup.first | 0x20 == ord("m")].tolist():
        if tag := _META_TAG.match(markup.html, start):
            if start < end:  # each byte is looked at once, in one tag
                return True
            end = tag.end()
            tags.append(tag[1])
    words = b">".join(tags).lower()
    if not _WHOLE_TAGS.fullmatch(words) or (b"&#" in words and _REFERENCE.search(words)):
        return True
    return b"tdm-reservation" in words or any(value.encode() in words for value in settings.robots)


def _says(rules: str, values: Iterable[str]) -> bool:
    return not set(values).isdisjoint(_WORD.findall(rules.lower()))

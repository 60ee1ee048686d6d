"""How many responses of which kind a sample crawl has, and their order."""

import random

from pipelines.sample_crawl.no_pages import not_found, not_html, redirect
from pipelines.sample_crawl.responses import Response, copy, page
from pipelines.sample_crawl.topics import O1, O2, OTHERS, N

# Counts in a crawl of PER pages; other sizes keep the shares. The pages that these leave are divided by POOLS.
PER = 1500
NEAR_COPIES = {0.5: 24, 0.7: 12, 0.8: 12, 0.9: 24, 0.95: 24}  # by Jaccard similarity
EXACT_COPIES = 24
DEFECTS = {"short": 18, "wrong_language": 12, "undecodable": 6, "opt_out": 4, "truncated": 3}
POOLS = ((O1, 0.336), (O2, 0.182), (N, 0.336), (OTHERS, 0.146))
NO_PAGES = {redirect: 20, not_found: 20, not_html: 28}  # in addition to the pages, one of each at least


def plan(pages: int, seed: int) -> list[Response]:
    """Returns the responses in the order in which they are written: an original always before its copy."""
    source = random.Random(f"{seed}/plan")
    defects = {kind: round(count * pages / PER) for kind, count in DEFECTS.items()}
    likeness = [jaccard for jaccard, count in NEAR_COPIES.items() for _ in range(round(count * pages / PER))]
    likeness += [1.0] * round(EXACT_COPIES * pages / PER)
    left = pages - sum(defects.values()) - len(likeness)
    shares = [round(left * share) for _, share in POOLS[:-1]]
    responses = [
        page(topic, number, seed, "page")
        for (topics, _), share in zip(POOLS, [*shares, left - sum(shares)], strict=True)
        for topic, count in zip(topics, _parts(share, len(topics)), strict=True)
        for number in range(count)
    ]
    topics = [*O1, *O2, *N]
    names = {topic.name for topic in topics}
    to_copy = [response for response in responses if response.topic in names and not _has_list(response)]
    for kind, count in defects.items():
        among = N if kind == "undecodable" else topics  # English is mostly ASCII: the same in all charsets
        responses += [page(among[number % len(among)], number, seed, kind) for number in range(count)]
    source.shuffle(responses)
    originals = source.sample(to_copy, len(likeness))
    for number, (jaccard, original) in enumerate(zip(likeness, originals, strict=True)):
        after = responses.index(original) + 1
        responses.insert(source.randint(after, len(responses)), copy(original, jaccard, number, source))
    for make, count in NO_PAGES.items():
        for number in range(max(1, round(count * pages / PER))):
            response = make(topics[number % len(topics)], number, source)
            responses.insert(source.randint(0, len(responses)), response)
    return responses


def _has_list(response: Response) -> bool:
    """Whether the article has a list, which main-content extraction takes for navigation on some sites: its copies'
    extracted texts would not be as alike as they are meant to be."""
    return response.article is not None and any(block.kind == "ul" for block in response.article.blocks)


def _parts(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]

"""Text out of crawls: from WARC files and texts to published versions of a corpus.

    sources/       where text comes from: work units, fetching, readers of text files
    pages/         a record becomes a page's text: WARC, record filter, opt-outs, decoding, guards, main content
    text/          what is measured on texts: languages, scores and the rules over them, personal data
    dedup/         signatures, exact and near copies, lines, the index
    documents/     work units -> documents: a row, a unit, the stage, by the worker processes of workers/
    corpus/        documents -> a version: filter, deduplication, decontamination, split, shards
    denylist       hosts that were taken down
    settings/      what a user sets of all this; sample_crawl/: the generated crawl of demo and tests

Imports storage, and neither nr_core nor flows; inside, what comes later imports what comes earlier.
"""

from pipelines.former_names import FORMER_NAMES
from storage.former_names import keep_old_names

keep_old_names(FORMER_NAMES)

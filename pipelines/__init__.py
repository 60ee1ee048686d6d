"""Text out of crawls: from WARC files and texts to published versions of a corpus.

    sources/       where text comes from: work units, fetching, readers of text files
    pages/         a record becomes a page's text: WARC, record filter, opt-outs, decoding, guards, main content
    text/          what is measured on texts: languages, scores and the rules over them, personal data
    document_row   one row of the documents table, put together from the above; unit_reader: all rows of a work unit
    documents_stage   work units -> documents, by the worker processes of workers/
    dedup/         signatures, exact and near copies, lines, the index
    corpus/        documents -> a version: filter, deduplication, decontamination, split, shards
    denylist       hosts that were taken down
    settings/      what a user sets of all this; sample_crawl/: the generated crawl of demo and tests

Imports storage, and neither nr_core nor flows; inside, what comes later imports what comes earlier.
"""

from pipelines.former_names import FORMER_NAMES
from storage.former_names import keep_old_names

keep_old_names(FORMER_NAMES)

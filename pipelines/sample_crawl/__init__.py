"""A crawl made by a grammar: real WARC files of generated pages, for the demo and the tests. No third party's text.

Three pools of text, each on 14 hosts a topic, so that a corpus is selected by host and split by host:

    O1  English how-to        *.garden.example  *.kitchen.example  *.workshop.example
    O2  English novel         *.observatory.example
    N   French                *.jardin.example  *.cuisine.example  *.voyage.example
        other languages       *.stadt.example (deu)  *.pueblo.example (spa)  *.falu.example (hun)  *.by.example (dan)

Some pages of every site are in another language than their site; besides there are near copies, exact copies, wrong
charsets, redirects, errors and opt-outs. truth.jsonl says of every response what it is; the pipeline does not read it.
"""

from pipelines.sample_crawl.warc import write_sample_crawl

__all__ = ["write_sample_crawl"]

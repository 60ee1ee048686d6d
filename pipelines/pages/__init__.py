"""A record becomes a page's main content, in this order:

warc/            records of WARC files: which of them are pages at all, and their bodies as sent
opt_outs         which pages may not be taken; robots_txt, url_list
charset/         a body's text
dom_guard        pages whose tree would cost too much; parse: the tree, within a bound of memory
extract          main content; short_text_guard, second_extractor: where the first loses text
furniture        what is no content by its name; lines: prose, and the short lines that are content
characters       what no text keeps
"""

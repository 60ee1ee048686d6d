"""A record becomes a page's main content, in this order:

warc/            records of WARC files
record_filter    which records are pages at all; opt_outs, robots_txt, url_list: which may not be taken
http_body        the body as sent; charset/: its text
dom_guard        pages whose tree would cost too much; parse: the tree, within a bound of memory
extract          main content; short_text_guard, second_extractor: where the first loses text
furniture        what is no content by its name; lines: prose, and the short lines that are content
characters       what no text keeps; repair: letters decoded wrongly
"""

"""A record becomes a document: WARC, record filter, opt-outs, decoding, guards, parsing, main content."""

"""The text of a body of bytes, decoded as browsers do: by what declares its charset, or by what fits.

decode            the charset and the text; declared_charset: what headers, marks and meta elements say
bytes_to_text     what browsers have and Python's codecs have not
broken_utf_8      pages that are UTF-8 but for some bytes; judged_words: the words by which charsets are told
repair            text that was decoded wrongly before it came to us
alphabets         letters that tell charsets of one script apart; two_charsets: pages written in two
"""

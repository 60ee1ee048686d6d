"""A page's DOM takes no more memory than it may, whatever was parsed before or is at the same time."""

import subprocess
import sys

PROGRAM = """
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pipelines.pages import parse

parse.MAX_DOM_BYTES = 40_000_000
costly = "<p><b " + " ".join(f"a{number}" for number in range(300)) + ">x" + "<p>x" * 3000  # 150 MB
page = "<p class=a>x</p>" * 1000
all_have_begun = threading.Barrier(3)  # a stack is memory too: none is asked for while a page may take all there is
with ThreadPoolExecutor(3, initializer=all_have_begun.wait) as threads:
    list(threads.map(str, range(3)))
    refused = list(threads.map(lambda html: parse.parse(html) is None, [costly, page] * 30))
assert refused == [True, False] * 30, refused
assert resource.getrlimit(resource.RLIMIT_DATA) == (parse._SOFT, parse._HARD)
"""


def test_each_of_many_costly_pages_is_refused() -> None:
    """In a process of its own: what malloc has left over from other tests, a page may have."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

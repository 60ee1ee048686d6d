"""A page's DOM takes no more memory than it may, whatever was parsed before or is at the same time."""

import subprocess
import sys

PROGRAM = """
import resource
from concurrent.futures import ThreadPoolExecutor
from pipelines.pages import parse

parse.MAX_DOM_BYTES = 40_000_000
costly = "<p><b " + " ".join(f"a{number}" for number in range(300)) + ">x" + "<p>x" * 3000  # 150 MB
page = "<p class=a>x</p>" * 1000
with ThreadPoolExecutor(3) as threads:
    refused = list(threads.map(lambda html: parse.parse(html) is None, [costly, page] * 30))
assert refused == [True, False] * 30, refused
assert resource.getrlimit(resource.RLIMIT_DATA) == (parse._SOFT, parse._HARD)
"""


def test_each_of_many_costly_pages_is_refused() -> None:
    """In a process of its own: what malloc has left over from other tests, a page may have."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

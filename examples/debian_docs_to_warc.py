"""Wrap the HTML of Debian documentation packages as WARC files, the kind of input a crawl gives.

    python examples/debian_docs_to_warc.py --out debian libreoffice-help-hu libreoffice-help-en-us \\
        gimp-help-en debian-handbook anarchism

downloads the packages with `apt-get download` (no root needed; `apt-get update` once before), unpacks them into a
temporary folder and writes one <package>.warc.gz each: the input of configs/libreoffice-hungarian-debian.yaml. The same
packages give the same bytes. The texts keep the licences of their packages.
"""

import argparse
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

LIBREOFFICE = Path("usr/share/libreoffice/help")  # its pages lie in one folder a language: /hu/text/...
DATE = "2026-01-01T00:00:00Z"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    parser.add_argument("--out", type=Path, required=True, help="folder for the WARC files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for package in arguments.packages:
        with tempfile.TemporaryDirectory() as scratch:
            pages = list(unpacked_pages(package, Path(scratch)))
            target = arguments.out / f"{package}.warc.gz"
            write_warc(target, package, pages)
            print(f"{target}: {len(pages)} pages")


def unpacked_pages(package: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (URL, HTML) of every page in the package, in the order of the paths."""
    download = subprocess.run(["apt-get", "download", "-qq", package], cwd=scratch, capture_output=True, text=True)
    if download.returncode:
        sys.exit(f"apt-get download {package} failed (on Debian? was apt-get update run?): {download.stderr}")
    (archive,) = scratch.glob("*.deb")
    tree = scratch / "tree"
    subprocess.run(["dpkg-deb", "-x", archive, tree], check=True)
    for path in sorted(tree.rglob("*.html")):
        if path.is_file() and not path.is_symlink():
            inside = path.relative_to(tree)
            if inside.is_relative_to(LIBREOFFICE):
                yield f"https://help.libreoffice.invalid/{inside.relative_to(LIBREOFFICE)}", path.read_bytes()
            else:
                yield f"https://{package}.invalid/{inside}", path.read_bytes()


def write_warc(target: Path, package: str, pages: list[tuple[str, bytes]]) -> None:
    partial = target.with_suffix(".partial")
    with partial.open("wb") as stream:
        writer = GzipWriter(stream)
        for url, html in pages:
            record = WarcRecord()
            record_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{package}/{url}").urn
            record.init_headers(WarcRecordType.response, record_id.removeprefix("urn:").encode())
            record.headers["WARC-Date"] = DATE
            record.headers["WARC-Target-URI"] = url
            record.headers["Content-Type"] = "application/http; msgtype=response"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(html)}\r\n\r\n".encode()
            record.set_bytes_content(head + html)
            record.write(writer)
            writer.finish()  # one gzip member a record, so that a reader can start anywhere
        writer.close()
    partial.replace(target)


if __name__ == "__main__":
    main()

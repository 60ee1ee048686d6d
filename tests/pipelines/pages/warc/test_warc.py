"""A WARC gives its records, and what is damaged costs no more than it must."""

import base64
import gzip
import hashlib
import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import pytest
from fastwarc.stream_io import Lz4Writer, ZstdWriter, zstd_train_dictionary_from_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.pages.warc import Capture, read_items, read_warc
from pipelines.pages.warc.capture import PageLanguages, read_stored
from pipelines.pages.warc.record_filter import why_no_page
from pipelines.settings import FetchSettings
from pipelines.sources.remote import ByteRange, Remote
from pipelines.sources.retries import ReadFailure
from storage.errors import InputError
from tests.pipelines.warc_files import ENGLISH, Page, html, prose, warc_bytes

LIMIT = 100_000
PAGES = [Page(html(prose(ENGLISH, seed)), f"https://www.example.org/{seed}") for seed in range(6)]
WARC, OFFSETS = warc_bytes(PAGES)
REMOTE = Remote(FetchSettings())


def read(content: bytes, folder: Path) -> list[Capture | ReadFailure | None]:
    path = folder / "crawl.warc.gz"
    path.write_bytes(content)
    found = list(islice(read_warc(path, LIMIT), len(content) + 2))
    assert len(found) < len(content) + 2, "records without end"
    return found


def test_records_and_their_offsets(tmp_path: Path) -> None:
    captures = read(WARC, tmp_path)
    assert [capture.url for capture in captures] == [page.url for page in PAGES]
    assert [capture.offset for capture in captures] == OFFSETS
    assert [capture.payload.decode() for capture in captures] == [page.body for page in PAGES]


@pytest.mark.parametrize("writer", [None, ZstdWriter, Lz4Writer])
def test_every_compression(writer: type | None, tmp_path: Path) -> None:
    content = gzip.decompress(WARC)
    if writer is not None:
        buffer = io.BytesIO()
        with writer(buffer) as stream:
            stream.write(content)
        content = buffer.getvalue()
    captures = read(content, tmp_path)
    assert [capture.payload.decode() for capture in captures] == [page.body for page in PAGES]
    # Compressed as one, no record can be read without those before it.
    assert [capture.stored_length is None for capture in captures] == [writer is not None] * len(PAGES)


def by_record(writer: type | None) -> bytes:
    """The file with each record compressed by itself."""
    buffer = io.BytesIO()
    for start, end in pairwise([*OFFSETS, len(WARC)]):
        record = gzip.decompress(WARC[start:end])
        if writer is None:
            buffer.write(record)
        else:
            stream = writer(buffer)
            stream.write(record)
            stream.finish()
    return buffer.getvalue()


@pytest.mark.parametrize("content", [WARC, *map(by_record, (None, ZstdWriter, Lz4Writer))])
def test_a_record_can_be_read_again_by_its_place_alone(content: bytes, tmp_path: Path) -> None:
    captures = read(content, tmp_path)
    assert len(captures) > 1
    for capture in captures:
        assert capture.stored_length is not None
        alone = content[capture.offset : capture.offset + capture.stored_length]
        (tmp_path / "alone").write_bytes(alone)
        for name, place in (("alone", 0), ("crawl.warc.gz", capture.offset)):
            there = ByteRange(place, capture.stored_length)
            record = read_stored(str(tmp_path / name), there, lambda item: item.url == capture.url, REMOTE, LIMIT)  # noqa: B023
            assert (record.capture.payload, record.status_line) == (capture.payload, "HTTP/1.1 200 OK")
            assert ("WARC-Target-URI", capture.url) in record.warc_headers
            assert record.http_headers == (("Content-Type", "text/html; charset=utf-8"),)


def test_a_record_that_is_compressed_with_others_is_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "crawl.warc.gz"
    path.write_bytes(gzip.compress(gzip.decompress(WARC)))
    assert [item.stored_length for item in read_warc(path, LIMIT)] == [None] * len(PAGES)
    record = read_stored(str(path), None, lambda item: item.url == PAGES[4].url, REMOTE, LIMIT)
    assert record.capture.payload.decode() == PAGES[4].body
    for file, sentence in ((str(path), "not the file that was read"), ("https://a.example/x.warc.gz", "download the")):
        with pytest.raises(InputError, match=sentence):
            read_stored(file, None, lambda item: False, REMOTE, LIMIT)


@pytest.mark.parametrize(
    ("metadata", "languages"),
    [
        (b'{"reliable":true,"languages":[{"code-iso-639-3":"hun"},{"code-iso-639-3":"eng"}]}', "hun,eng"),
        (b'{"languages":[{"code-iso-639-3":"Ma\u001bgyar"}]}', None),
        (b'{"languages":[]}', None),
        (b'{"languages":' + b"[" * 9000, None),
        (b"null", None),
    ],
)
def test_what_the_crawler_says_of_a_pages_languages(metadata: bytes, languages: str | None, tmp_path: Path) -> None:
    record = Page(b"fetchTimeMs: 258\r\nlanguages-cld2: " + metadata + b"\r\n\r\n", record_type="metadata")
    (tmp_path / "crawl.warc.gz").write_bytes(warc_bytes([PAGES[0], record])[0])
    page, said = read_items(tmp_path / "crawl.warc.gz", LIMIT)
    assert said == (languages and PageLanguages(page.record_id, languages))
    assert list(read_warc(tmp_path / "crawl.warc.gz", LIMIT)) == [page, None]


@pytest.mark.parametrize("change", [bytes.lower, bytes.upper])
@pytest.mark.parametrize("is_gzip", [True, False])
def test_names_in_headers_are_the_same_in_any_letters(
    change: Callable[[bytes], bytes], is_gzip: bool, tmp_path: Path
) -> None:
    records = re.split(rb"(?=WARC/1\.\d\r\n)", gzip.decompress(WARC))[1:]
    changed = [
        re.sub(rb"(?m)^[A-Z][A-Za-z-]+(?=: )", lambda name: change(name[0]), record, count=8) for record in records
    ]
    assert b"\nWARC-Type" not in b"".join(changed) or change is bytes.upper
    captures = read(b"".join(map(gzip.compress, changed) if is_gzip else changed), tmp_path)
    assert [(capture.url, capture.status, capture.payload.decode()) for capture in captures] == [
        (page.url, 200, page.body) for page in PAGES
    ]


def test_headers_that_stand_there_twice_are_one(tmp_path: Path) -> None:
    body = gzip.compress(zlib.compress(PAGES[0].body.encode()))
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: deflate\r\nContent-Type: text/html\r\n"
    block = http + b"Content-Encoding: gzip\r\n\r\n" + body
    header = "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\n"
    [capture] = read(f"{header}Content-Length: {len(block)}\r\n\r\n".encode() + block, tmp_path)
    assert capture.content_encoding == "deflate, gzip" and why_no_page(capture) is None


def read_around(content: bytes, folder: Path) -> tuple[list[str], list[str]]:
    """The pages that were read whole, and what was said to be damaged."""
    items = read(content, folder)
    whole = [item.url for item in items if isinstance(item, Capture) and item.fault is None]
    return whole, [item.error for item in items if isinstance(item, ReadFailure)]


def test_a_corrupt_member_costs_itself(tmp_path: Path) -> None:
    broken = bytearray(WARC)
    broken[OFFSETS[3] + 100 : OFFSETS[3] + 160] = b"\x5a" * 60
    whole, [error] = read_around(bytes(broken), tmp_path)
    assert whole == [page.url for page in PAGES if page is not PAGES[3]]
    assert "Gzip decompression error" in error
    assert error.endswith(f"after the record at byte {OFFSETS[2]}: reading goes on at byte {OFFSETS[4]}")


@pytest.mark.parametrize("cut_before", [b"WARC-Date", b"Content-Length", b"\r\n\r\n", b"</html>"])
def test_a_cut_member_that_would_run_on_to_the_end_of_the_file_costs_itself(cut_before: bytes, tmp_path: Path) -> None:
    """Bytes that were stored are copied, whatever they are: those of the members behind too."""
    record = gzip.decompress(WARC[OFFSETS[3] : OFFSETS[4]])
    stored = gzip.compress(record + bytes(60_000), compresslevel=0, mtime=0)
    cut = stored[: stored.index(cut_before)]
    whole, [error] = read_around(WARC[: OFFSETS[3]] + cut + WARC[OFFSETS[4] :], tmp_path)
    assert whole == [page.url for page in PAGES if page is not PAGES[3]]
    assert error.endswith(f": reading goes on at byte {OFFSETS[3] + len(cut)}")


@pytest.mark.parametrize("packing", ["plain", "by record", "as one", "by two"])
@pytest.mark.parametrize("ends", ["crlf", "lf"])
@pytest.mark.parametrize("first", [b"WARC-Type", b"WARC-Record-ID", b"Content-Length"])
def test_a_header_that_is_cut_anywhere_costs_its_record_and_is_said(
    first: bytes, ends: str, packing: str, tmp_path: Path
) -> None:
    """What is left of it stands directly before the next record: readers take the two for one header."""
    records = []
    for start, end in pairwise([*OFFSETS, len(WARC)]):
        head, _, rest = gzip.decompress(WARC[start:end]).partition(b"\r\n\r\n")
        version, *fields = head.split(b"\r\n")
        head = b"\r\n".join([version, *sorted(fields, key=lambda field: not field.startswith(first))])
        line_end = b"\n" if ends == "lf" else b"\r\n"
        records.append(head.replace(b"\r\n", line_end) + 2 * line_end + rest.removesuffix(b"\r\n\r\n") + 2 * line_end)
    for lost in (0, 2):
        for size in range(7, len(head), 9):
            cut = [record[:size] if number == lost else record for number, record in enumerate(records)]
            packed = {"as one": [b"".join(cut)], "by two": [b"".join(cut[at : at + 2]) for at in (0, 2, 4)]}
            content = b"".join(cut if packing == "plain" else map(gzip.compress, packed.get(packing, cut)))
            whole, errors = read_around(content, tmp_path)
            assert whole == [page.url for page in PAGES if page is not PAGES[lost]], (lost, size)
            assert len(errors) == 1


@pytest.mark.parametrize("writer", [None, ZstdWriter, Lz4Writer])
@pytest.mark.parametrize("size", [11, 13, 19, 40, 90])
@pytest.mark.parametrize(
    ("packed", "left"),
    [
        (["0", "1:2"], "02"),  # the cut record, in a part with the one that follows
        (["1:2", "0"], "20"),
        (["0", "1:23", "4"], "0234"),
        (["0 3 1:2 4", "5"], "03245"),
        (["0 2 1:", "3"], "023"),  # at a part's end
        (["0", "2 1:", "3 4"], "0234"),
    ],
)
def test_a_cut_header_is_said_however_few_parts_hold_several_records(
    packed: list[str], left: str, size: int, writer: type | None, tmp_path: Path
) -> None:
    """`1:` stands for the beginning of the second record."""
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    pack: Callable[[bytes], bytes] = gzip.compress if writer is None else partial(framed, writer)
    parts = [part.replace("1:", "c").replace(" ", "") for part in packed]
    content = [[records[1][:size] if name == "c" else records[int(name)] for name in part] for part in parts]
    whole, errors = read_around(b"".join(pack(b"".join(part)) for part in content), tmp_path)
    assert whole == [PAGES[int(number)].url for number in left]
    assert len(errors) == 1


@pytest.mark.parametrize("size", [10, 12, 19])
@pytest.mark.parametrize(
    ("packed", "left"), [(["0c", "2"], "02"), (["0c", "2", "3"], "023"), (["4", "0c", "23"], "4023")]
)
def test_a_cut_header_behind_the_one_record_of_a_member_is_said(
    packed: list[str], left: str, size: int, tmp_path: Path
) -> None:
    """By the size that gzip keeps at a member's end."""
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    content = [[records[1][:size] if name == "c" else records[int(name)] for name in part] for part in packed]
    whole, errors = read_around(b"".join(gzip.compress(b"".join(part)) for part in content), tmp_path)
    assert whole == [PAGES[int(number)].url for number in left]
    assert len(errors) == 1


@pytest.mark.parametrize("ends", ["crlf", "lf"])
@pytest.mark.parametrize("writer", [None, ZstdWriter, Lz4Writer, bytes])
@pytest.mark.parametrize("size", [1, 4, 14, 30])
@pytest.mark.parametrize("packed", ["02 c 3", "02c 3", "0c 2 3", "0c 23", "c2 3", "c2", "c23", "c 2"])
def test_no_neighbour_of_a_cut_header_is_lost_or_read_twice(
    packed: str, size: int, writer: type | None, ends: str, tmp_path: Path
) -> None:
    """Also where it is the file's first, and all is compressed as one. `c` stands for what is left of it."""
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    if ends == "lf":
        parted = [record.removesuffix(b"\r\n\r\n").partition(b"\r\n\r\n") for record in records]
        records = [head.replace(b"\r\n", b"\n") + b"\n\n" + rest + b"\n\n" for head, _, rest in parted]
    pack: Callable[[bytes], bytes] = partial(framed, writer) if writer not in (None, bytes) else writer or gzip.compress
    parts = [
        b"".join(records[1][:size] if name == "c" else records[int(name)] for name in part) for part in packed.split()
    ]
    whole, errors = read_around(b"".join(map(pack, parts)), tmp_path)
    assert whole == [PAGES[int(number)].url for number in packed if number.isdigit()]
    assert len(errors) == 1


@pytest.mark.parametrize("writer", [None, ZstdWriter, Lz4Writer])
@pytest.mark.parametrize("packed", ["0c", "0c 2", "02c 3", "0 2c 34"])
def test_a_record_whose_beginning_is_gone_costs_none_before_it(
    packed: str, writer: type | None, tmp_path: Path
) -> None:
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    pack: Callable[[bytes], bytes] = gzip.compress if writer is None else partial(framed, writer)
    parts = [
        b"".join(records[1][20:] if name == "c" else records[int(name)] for name in part) for part in packed.split()
    ]
    whole, errors = read_around(b"".join(map(pack, parts)), tmp_path)
    assert whole == [PAGES[int(number)].url for number in packed if number.isdigit()]
    assert len(errors) == 1


def test_a_record_within_a_part_has_no_place_of_its_own(tmp_path: Path) -> None:
    """Readers tell of it the place of the next part, where another record stands."""
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    members = [gzip.compress(b"".join(records[:2]), mtime=0), gzip.compress(records[2], mtime=0)]
    captures = read(b"".join(members), tmp_path)
    assert [capture.offset for capture in captures] == [0, 0, len(members[0])]
    assert [capture.stored_length for capture in captures][1:] == [None, len(members[1])]


def test_a_header_that_ends_with_the_file_before_its_length_is_said(tmp_path: Path) -> None:
    record = gzip.decompress(WARC[OFFSETS[1] : OFFSETS[2]])
    cut = record[: record.index(b"Content-Length: ") + len(b"Content-Length: ")]
    whole, [error] = read_around(WARC[: OFFSETS[1]] + gzip.compress(cut), tmp_path)
    assert whole == [PAGES[0].url] and "Content-Length is no number" in error


def test_an_interim_answer_before_the_page_is_passed_over(tmp_path: Path) -> None:
    for interim in ("100 Continue\r\n\r\n", "103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"):
        status = f"{interim}HTTP/1.1 200 OK"
        for headers in ({"X-Robots-Tag": "noai"}, {"Content-Length": str(len(PAGES[0].body))}):
            page = Page(PAGES[0].body, status=status, headers={"Content-Type": "text/html"} | headers)
            [capture] = read(warc_bytes([page])[0], tmp_path)
            assert (capture.status, capture.payload.decode()) == (200, page.body)
            assert why_no_page(capture) is None and capture.robots == ("noai",) * ("X-Robots-Tag" in headers)
            there = ByteRange(0, capture.stored_length)
            record = read_stored(str(tmp_path / "crawl.warc.gz"), there, lambda item: True, REMOTE, LIMIT)
            assert record.status_line == "HTTP/1.1 200 OK"
        cut = Page(PAGES[0].body, status=status, headers={"Content-Type": "text/html", "Content-Length": "90000"})
        assert why_no_page(read(warc_bytes([cut])[0], tmp_path)[0]) == "truncated"
    assert why_no_page(read(warc_bytes([Page(b"<p>Text", status="100 Continue")])[0], tmp_path)[0]) == "bad_status"


def test_an_address_that_ends_like_the_first_line_of_a_record_is_no_record(tmp_path: Path) -> None:
    pages = [Page(html(prose(ENGLISH, seed)), f"https://www.example.org/{seed}/WARC/1.0") for seed in range(3)]
    content = gzip.decompress(warc_bytes(pages)[0])
    assert read_around(content, tmp_path) == ([page.url for page in pages], [])


def test_a_file_whose_line_ends_were_changed_afterwards_is_read(tmp_path: Path) -> None:
    """Its lengths are those of before, by some bytes too long: each takes in the next record's beginning."""
    content = gzip.decompress(WARC).replace(b"\r\n", b"\n")
    items = read(content, tmp_path)
    urls = [item.url for item in items if isinstance(item, Capture)]
    assert urls == [page.url for page in PAGES]
    assert sum(isinstance(item, ReadFailure) for item in items) == len(PAGES) - 1


def lying(record: bytes, length: bytes) -> bytes:
    return re.sub(rb"Content-Length: \d+", b"Content-Length: " + length, record, count=1)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "length too long": lambda record: lying(record, b"999999999"),
    "length a little too long": lambda record: lying(record, b"%d" % (len(record) + 100)),
    "length too short": lambda record: lying(record, b"100"),
    "length no number": lambda record: lying(record, b"1e3"),
    "header gone": lambda record: b"nothing" + record[8:],
    "header cut": lambda record: record[:90],
    "body cut": lambda record: record[:-300],
    "noise before": lambda record: b"\0" * 1000 + record,
}


@pytest.mark.parametrize("packing", ["member", "zstd frame", "lz4 frame", "none", "one member", "blocks"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_costs_itself_however_the_file_is_packed(damage: str, packing: str, tmp_path: Path) -> None:
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    records[2] = DAMAGE[damage](records[2])
    content = b"".join(records)
    if packing == "member":
        content = b"".join(gzip.compress(record, mtime=0) for record in records)
    elif packing.endswith("frame"):
        writer = Lz4Writer if packing == "lz4 frame" else ZstdWriter
        content = b"".join(framed(writer, record) for record in records)
    elif packing == "one member":
        content = gzip.compress(content, mtime=0)
    elif packing == "blocks":
        content = b"".join(gzip.compress(content[at : at + 500], mtime=0) for at in range(0, len(content), 500))
    whole, errors = read_around(content, tmp_path)
    assert [url for url in whole if url != PAGES[2].url] == [page.url for page in PAGES if page is not PAGES[2]]
    assert errors


@pytest.mark.parametrize("packing", ["member", "lz4 frame", "zstd frame", "blocks"])
def test_what_stands_behind_empty_members_is_read(packing: str, tmp_path: Path) -> None:
    """As files of bgzip have one at their end, and may be written one behind the other."""
    pack: Callable[[bytes], bytes] = lambda content: gzip.compress(content, mtime=0)  # noqa: E731
    if packing.endswith("frame"):
        pack = partial(framed, Lz4Writer if packing == "lz4 frame" else ZstdWriter)
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    if packing == "blocks":
        halves = [b"".join(records[:3]), b"".join(records[3:])]
        parts = [b"".join(pack(half[at : at + 500]) for at in range(0, len(half), 500)) for half in halves]
    else:
        parts = [pack(record) for record in records]
    empty = 2 * pack(b"")
    whole, errors = read_around(empty * (packing == "member") + empty.join(parts), tmp_path)
    assert whole == [page.url for page in PAGES]
    assert packing == "blocks" or not errors


LARGE = [Page(f"<html>{random.Random(number).randbytes(9000).hex()}</html>", PAGES[number].url) for number in range(6)]


def test_what_stands_before_damage_in_a_member_hides_nothing_behind_it(tmp_path: Path) -> None:
    content, offsets = warc_bytes(LARGE)
    first = bytearray(gzip.compress(gzip.decompress(content[: offsets[4]]), mtime=0))
    first[-9000:-8900] = b"\xff" * 100
    whole, errors = read_around(bytes(first) + content[offsets[4] :], tmp_path)
    assert whole == [page.url for page in LARGE if page is not LARGE[3]]
    assert errors


@pytest.mark.parametrize("writer", [Lz4Writer, ZstdWriter])
def test_a_damaged_frame_of_a_large_page_costs_itself(writer: type, tmp_path: Path) -> None:
    """Nothing of a frame is told before its first block is whole."""
    content, offsets = warc_bytes(LARGE)
    records = [gzip.decompress(content[start:end]) for start, end in pairwise([*offsets, len(content)])]
    frames = [framed(writer, record) for record in records]
    frames[2] = frames[2][:5000] + frames[2][5400:]
    whole, errors = read_around(b"".join(frames), tmp_path)
    assert whole == [page.url for page in LARGE if page is not LARGE[2]]
    assert errors


@pytest.mark.parametrize("lost", [1, 2, 5])
@pytest.mark.parametrize("before", ["", "\nWARC/1.0\r\nWARC-Type: response\r\n"])
def test_a_member_without_its_beginning_is_said(before: str, lost: int, tmp_path: Path) -> None:
    """Also behind a page that quotes a record, which makes its member look like one of several."""
    content, offsets = warc_bytes([Page(html(prose(ENGLISH, 9)) + before, PAGES[0].url), *PAGES[1:]])
    whole, errors = read_around(content[: offsets[lost]] + content[offsets[lost] + 20 :], tmp_path)
    assert whole == [page.url for page in PAGES if page is not PAGES[lost]]
    assert errors


def bgzf(content: bytes) -> bytes:
    """A block as bgzip writes it, with its length in an extra field."""
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(content) + deflate.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(data) + 25)
    return head + data + struct.pack("<II", zlib.crc32(content), len(content))


def test_a_damaged_block_of_bgzip_costs_the_records_that_lie_in_it(tmp_path: Path) -> None:
    content = gzip.decompress(WARC)
    blocks = [bytearray(bgzf(content[at : at + 300])) for at in range(0, len(content), 300)]
    blocks[1][30:90] = b"\xff" * 60
    whole, errors = read_around(b"".join(map(bytes, blocks)), tmp_path)
    assert whole == [page.url for page in PAGES[1:]]
    assert errors


def test_many_damaged_members_hide_nothing_between_them(tmp_path: Path) -> None:
    first = WARC[: OFFSETS[1]]
    whole, errors = read_around((first + first[:200] + b"\xff" * 50 + first[250:]) * 150, tmp_path)
    assert (len(whole), len(errors)) == (150, 150)


def cut_into(content: bytes, size: int, pack: Callable[[bytes], bytes]) -> list[bytes]:
    return [pack(content[start : start + size]) for start in range(0, len(content), size)]


@pytest.mark.parametrize("damaged", [0, 3])
@pytest.mark.parametrize("packing", ["gzip", "zstd", "lz4"])
def test_blocks_that_are_cut_anywhere_hide_nothing_behind_damage(packing: str, damaged: int, tmp_path: Path) -> None:
    """No mark says so, and no block after the first begins with a record; an empty one stands behind the damage."""
    pack: Callable[[bytes], bytes] = gzip.compress
    if packing != "gzip":
        pack = partial(framed, Lz4Writer if packing == "lz4" else ZstdWriter)
    content = gzip.decompress(warc_bytes(LARGE)[0])
    blocks = [bytearray(block) for block in cut_into(content, 7000, pack)]
    blocks[damaged][20:60] = b"\xff" * 20
    whole, errors = read_around(b"".join(map(bytes, [*blocks[:6], bytearray(pack(b"")), *blocks[6:]])), tmp_path)
    hit = range(damaged * 7000, damaged * 7000 + 7000)
    size = len(content) // len(LARGE)
    spared = [
        page.url for number, page in enumerate(LARGE) if not {*hit} & {*range(number * size, number * size + size)}
    ]
    assert [url for url in whole if url in spared] == spared
    assert errors


def test_a_damaged_block_of_lz4_costs_the_records_that_lie_in_it(tmp_path: Path) -> None:
    """In one frame, whose blocks of 64 kB can be read each by itself."""
    pages = [Page(html(prose(ENGLISH, seed, 15_000)), f"https://www.example.org/{seed}") for seed in range(4)]
    frames = cut_into(gzip.decompress(warc_bytes(pages)[0]), 1 << 16, partial(framed, Lz4Writer))
    assert frames[0][4] & 0x20  # blocks are independent
    blocks = [frame[7:-4] for frame in frames]  # without header and end mark
    blocks[2] = blocks[2][:4000] + bytes(200) + blocks[2][4200:]
    whole, errors = read_around(frames[0][:7] + b"".join(blocks) + bytes(4), tmp_path)
    assert pages[0].url in whole
    assert pages[3].url in whole
    assert errors


@pytest.mark.parametrize("is_packed", [False, True])
def test_frames_of_zstd_with_a_dictionary(is_packed: bool, tmp_path: Path) -> None:
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    frames, dictionary = [], zstd_train_dictionary_from_samples(records * 3, 4000)
    for record in records:
        buffer = io.BytesIO()
        with ZstdWriter(buffer, dictionary=dictionary, compress_dictionary_frame=is_packed) as stream:
            stream.write(record)
        first = 8 + int.from_bytes(buffer.getvalue()[4:8], "little")  # the dictionary's frame, once a file
        frames.append(buffer.getvalue()[first:])
    start = buffer.getvalue()[:first]
    assert read_around(start + b"".join(frames), tmp_path) == ([page.url for page in PAGES], [])
    frames[2] = frames[2][:30] + b"\xff" * 20 + frames[2][50:]
    whole, errors = read_around(start + b"".join(frames), tmp_path)
    assert whole == [page.url for page in PAGES if page is not PAGES[2]]
    assert errors


def test_zstd_that_takes_too_much_memory_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a window of 2,048 MB .*`zstd -dc --long=31"):
        read(b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00", tmp_path)


def test_a_dictionary_of_zstd_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with ZstdWriter(buffer) as stream:
        for _ in range(17):
            stream.write(bytes(1 << 20))
    bomb = buffer.getvalue()
    with pytest.raises(InputError, match="its dictionary has more than 16 MB"):
        read(b"\x5d\x2a\x4d\x18" + struct.pack("<I", len(bomb)) + bomb, tmp_path)


@pytest.mark.parametrize("packing", ["none", "member", "one member", "zstd frame"])
@pytest.mark.parametrize("takes_in", ["a record", "two records", "its header"])
def test_a_length_that_takes_in_the_next_record_costs_its_own(takes_in: str, packing: str, tmp_path: Path) -> None:
    """Where it ends at blank lines nothing else looks wrong."""
    records = [gzip.decompress(WARC[start:end]) for start, end in pairwise([*OFFSETS, len(WARC)])]
    header = records[2].index(b"\r\n\r\n") + 4
    more = {"a record": len(records[2]), "two records": len(records[2]) + len(records[3]), "its header": header}[
        takes_in
    ]
    own = len(records[1]) - records[1].index(b"\r\n\r\n") - 8
    records[1] = lying(records[1], b"%d" % (own + more))
    pack = {"none": bytes, "member": gzip.compress, "zstd frame": partial(framed, ZstdWriter), "one member": bytes}[
        packing
    ]
    content = b"".join(map(pack, records))
    whole, errors = read_around(gzip.compress(content) if packing == "one member" else content, tmp_path)
    assert whole == [page.url for page in PAGES if page is not PAGES[1]]
    assert errors


@pytest.mark.parametrize("digest", ["sha1:{base32}", "sha-256:{sha256}", "sha1:AAAA", ""])
def test_a_record_that_holds_whole_ones_is_one_if_its_digest_says_so(digest: str, tmp_path: Path) -> None:
    inner = gzip.decompress(WARC)
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nQuotes:\r\n\r\n" + inner.rstrip()
    stated = digest.format(
        base32=base64.b32encode(hashlib.sha1(block).digest()).decode(), sha256=hashlib.sha256(block).hexdigest()
    )
    header = (
        f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nWARC-Block-Digest: {stated}\r\n"
        f"WARC-Target-URI: https://quotes.example/\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    whole, errors = read_around(header.encode() + block + b"\r\n\r\n" + inner, tmp_path)
    urls = [page.url for page in PAGES]
    vouched = "{" in digest
    assert whole == (["https://quotes.example/", *urls] if vouched else [*urls, *urls])
    assert bool(errors) != vouched


@pytest.mark.parametrize("packing", ["member", "zstd frame", "lz4 frame"])
def test_a_file_whose_first_bytes_are_gone_is_read_behind_them(packing: str, tmp_path: Path) -> None:
    pack: Callable[[bytes], bytes] = gzip.compress
    if packing != "member":
        pack = partial(framed, Lz4Writer if packing == "lz4 frame" else ZstdWriter)
    parts = [pack(gzip.decompress(WARC[start:end])) for start, end in pairwise([*OFFSETS, len(WARC)])]
    for first in (bytes(len(parts[0])), b"\xff" * 16 + parts[0][16:]):
        whole, errors = read_around(first + b"".join(parts[1:]), tmp_path)
        assert whole == [page.url for page in PAGES[1:]]
        assert errors


def framed(writer: type, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with writer(buffer) as stream:
        stream.write(content)
    return buffer.getvalue()


def test_a_page_that_quotes_a_record_is_one_page(tmp_path: Path) -> None:
    quoting = Page(html("x") + gzip.decompress(WARC)[:1500].decode(), "https://www.example.org/quotes")
    content, _ = warc_bytes([PAGES[0], quoting, PAGES[1]])
    for packed in (content, gzip.decompress(content), gzip.compress(gzip.decompress(content))):
        assert read_around(packed, tmp_path) == ([PAGES[0].url, quoting.url, PAGES[1].url], [])


def test_a_damaged_first_record_costs_itself(tmp_path: Path) -> None:
    whole, [error] = read_around(b"\x1f\x8b\x08" + b"?" * 500 + WARC, tmp_path)
    assert whole == [page.url for page in PAGES]
    assert "goes on at byte 503" in error


@pytest.mark.parametrize(
    "noise", [b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"WARC/1.0\r\nX: y\r\n", b"WARC/1.0\r\nWARC-Type: response\r\n"]
)
def test_of_many_places_at_which_a_record_seems_to_begin_not_all_are_tried(noise: bytes, tmp_path: Path) -> None:
    first = WARC[: OFFSETS[1]]
    whole, errors = read_around((first if b"\x1f" in noise else gzip.decompress(first)) + noise * 2000, tmp_path)
    assert (whole, len(errors)) == ([PAGES[0].url], 1)


def test_a_file_that_was_cut_gives_its_last_record_as_truncated(tmp_path: Path) -> None:
    *whole, last = read(WARC[: OFFSETS[4] + 500], tmp_path)
    assert [capture.fault for capture in whole] == [None] * 4
    assert (last.offset, last.fault, last.payload) == (OFFSETS[4], "truncated", b"")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>" * 100, "is not a WARC file"),
        (b"", "is not a WARC file .it holds no record"),
        (gzip.compress(b"nothing", mtime=0), "is not a WARC file"),
        (b"filedesc://x.arc 0.0.0.0 20040511 text/plain 76\n1 0 IA\n", "is an ARC v1 file"),
        (gzip.compress(b"filedesc://x.arc 0.0.0.0 20040511 text/plain 76\n1 0 IA\n", mtime=0), "convert it"),
        (
            b"WARC/1.0\r\nWARC-Type: response\r\n\r\n\r\n\r\n",
            "is not a WARC file .its first record has no Content-Length",
        ),
    ],
)
def test_what_is_no_warc_is_refused_with_a_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        read(content, tmp_path)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (Page(html("text")), None),
        (Page(html("text"), headers={"Content-Type": "application/xhtml+xml"}), None),
        (Page(html("text"), headers={}), None),  # sniffed
        (Page(html("text"), record_type="revisit"), "not_response"),
        (Page(html("text"), record_type="resource"), "not_response"),
        (Page(html("text"), status="301 Moved", headers={"Location": "/"}), "redirect"),
        (Page(html("text"), status="404 Not Found"), "bad_status"),
        (Page(html("text"), status="206 Partial"), "bad_status"),
        (Page(b"%PDF-1.4", headers={"Content-Type": "application/pdf"}), "not_html"),
        (Page(b"x" * (LIMIT + 1)), "oversize"),
        (Page(b""), "empty"),
        (Page(html("text"), headers={"Content-Length": "5000", "Content-Type": "text/html"}), "truncated"),
        (Page(html("text"), headers={"Content-Length": "5000", "Content-Encoding": "br"}), None),
        (Page(b"x" * 500, headers={"Content-Length": "501", "Content-Type": "text/html"}), None),
        (Page(b"x" * 500, headers={"Content-Length": "520", "Content-Type": "text/html"}), "truncated"),
        (Page(html("text" * 500), headers={"Content-Length": "2150", "Content-Type": "text/html"}), None),
        (Page(html("text"), headers={"Content-Length": "-5e9\u00b2"}), None),
        (Page(b"", headers={"X": "a" * 2_000_000}), "bad_http"),
    ],
)
def test_gate(page: Page, reason: str | None, tmp_path: Path) -> None:
    [capture] = read(warc_bytes([page])[0], tmp_path)
    assert isinstance(capture, Capture)
    assert why_no_page(capture) == reason


def test_companions_are_counted_and_a_bad_record_hides_no_other(tmp_path: Path) -> None:
    request = Page(b"", record_type="request")
    metadata = Page(b"", record_type="metadata")
    huge_header = Page(b"", headers={"X": "a" * 2_000_000})
    captures = read(warc_bytes([request, PAGES[0], metadata, huge_header, PAGES[1]])[0], tmp_path)
    assert [capture and why_no_page(capture) for capture in captures] == [None, None, None, "bad_http", None]
    assert [capture is None for capture in captures] == [True, False, True, False, False]


@settings(max_examples=60)
@given(st.integers(0, len(WARC) - 1), st.binary(min_size=1, max_size=40))
def test_no_damage_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, position: int, damage: bytes) -> None:
    broken = WARC[:position] + damage + WARC[position + len(damage) :]
    try:
        captures = read(broken, tmp_path_factory.mktemp("damage"))
    except InputError:
        assert position < OFFSETS[1]
        return
    intact = [offset for offset, following in pairwise(OFFSETS) if following <= position]
    assert [capture.offset for capture in captures[: len(intact)]] == intact


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_no_plain_header_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    record = (
        b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    )
    captures = read(record % (len(content), content), tmp_path_factory.mktemp("header"))
    assert why_no_page(captures[0]) is None or why_no_page(captures[0])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda content: content.replace(b"\r\n", b"\n")])
def test_reading_comes_to_an_end_wherever_a_file_is_cut(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """In the middle of a header too, where a record says no length yet."""
    whole = gzip.decompress(warc_bytes([Page("<p>Text", "https://www.example.org/")] * 2)[0])
    for cut in range(0, len(whole), 3):
        with suppress(InputError):
            assert len(read(pack(whole[:cut]), tmp_path)) <= 6


def test_lines_that_end_in_lf_are_read_and_what_is_lost_is_said(tmp_path: Path) -> None:
    page = b"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 4\n\n<p>x"
    http = b"Content-Type: application/http; msgtype=response\n"
    record = b"WARC/1.0\nWARC-Type: response\n" + http + b"Content-Length: %d\n\n%s\n\n"
    whole = record % (len(page), page)
    first, second = read(whole * 2, tmp_path)
    assert isinstance(first, Capture)
    assert isinstance(second, Capture)
    assert (first.payload, first.content_type, why_no_page(first)) == (b"<p>x", "text/html", None)
    *_, failure = read(whole * 2 + whole.replace(b"WARC/1.0", b"WARC/damage"), tmp_path)
    assert isinstance(failure, ReadFailure)
    assert failure.byte_offset == len(whole)
    _, _, failure, last = read(whole * 2 + b"noise\n\n" * 3 + whole, tmp_path)
    assert isinstance(failure, ReadFailure)
    assert isinstance(last, Capture)

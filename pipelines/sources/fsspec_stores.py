"""Byte ranges of what fsspec opens for us: s3://, hf://, gs://, hdfs://, sftp:// and their like."""

import ftplib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import fsspec

from pipelines.sources.http_ranges import Body
from pipelines.sources.retries import Permanent, Transient
from pipelines.sources.urls import redacted, redacted_text
from storage.errors import InputError
from storage.locations import refuse_protocol

CHUNK_BYTES = 1 << 20
_SESSIONS = ("sftp", "ssh", "ftp")  # fsspec would keep one that broke
_OF_A_HOST = (*_SESSIONS, "hdfs", "webhdfs")  # file systems of one machine: their paths do not name it


class Buckets:
    """Opens remote files at an offset, with the keys of the environment."""

    def expand(self, pattern: str) -> list[str]:
        """Return the addresses of the files that fit a pattern. Raises Transient and Permanent."""
        with _translated():
            filesystem, path = _open(pattern)
            found = filesystem.glob(path)
            scheme, _, rest = pattern.partition("://")
            if scheme in _OF_A_HOST:
                return sorted(f"{scheme}://{rest.partition('/')[0]}{match}" for match in found)
            return sorted(map(filesystem.unstrip_protocol, found))

    @contextmanager
    def open(self, url: str, offset: int, end: int | None, etag: str | None) -> Iterator[Body]:
        """Open the bytes [offset, end) of a file, as Http.open. Raises Transient and Permanent."""
        with _translated():
            filesystem, path = _open(url)
            info = filesystem.info(path)
            total, version = int(info["size"]), info.get("ETag") or info.get("etag") or info.get("blob_id")
            changed = etag is not None and etag != version
            first = 0 if changed else max(total + offset, 0) if offset < 0 else offset
            last = total if end is None or changed else min(end, total)
            if first > total:
                raise Permanent(f"it has {total} bytes, none at {first}", missing=True)
            stream = filesystem.open(path, "rb", block_size=CHUNK_BYTES, cache_type="none")
        with stream:
            yield Body(first, total, version, _chunks(stream, first, last - first))


def _chunks(stream: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    with _translated():
        stream.seek(offset)
    while length > 0:
        with _translated():
            chunk = stream.read(min(CHUNK_BYTES, length))
        if not chunk:
            return
        yield chunk
        length -= len(chunk)


def _open(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    refuse_protocol(url, "remote files", also=["https"])
    scheme = url.partition("://")[0]
    try:
        filesystem, path = fsspec.url_to_fs(url, skip_instance_cache=scheme in _SESSIONS)
    except ImportError as error:
        raise InputError(
            f"{scheme}:// addresses need another package ({error}): pip install it, then try again"
        ) from None
    except ValueError as error:
        raise InputError(f"{redacted(url)} is no address: {redacted_text(str(error), url)}") from None
    except OSError as error:
        if scheme == "hdfs" and str(error).startswith("Unable to load"):
            raise InputError(
                f"hdfs:// addresses need Java and Hadoop's libhdfs ({str(error).splitlines()[0]}): set JAVA_HOME, "
                "HADOOP_HOME and CLASSPATH as pyarrow.fs.HadoopFileSystem wants them, or give webhdfs:// addresses"
            ) from None
        raise
    return filesystem, path


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (InputError, Permanent, Transient):
        raise
    except FileNotFoundError as error:
        raise Permanent("there is no such file", missing=True) from error
    except PermissionError as error:
        raise Permanent(f"{error}; give your keys in the environment") from error
    except Exception as error:  # every bucket has exceptions of its own for a network that fails
        # Servers bar those who repeat a log-in that was refused.
        if isinstance(error, ftplib.error_perm) or "authentication" in f"{type(error).__name__} {error}".lower():
            raise Permanent(f"the server refuses it ({error}); give your user and keys") from error
        raise Transient(" ".join(f"{type(error).__name__}: {error}".split())[:300]) from error

"""Which of fsspec's many protocols an address may have: those of object stores, of the Hugging Face hub and of disks.

The others open what somebody else's config has no business with, or wrap an address in another (`reference://`,
`zip://x::file:///y`).
"""

from collections.abc import Sequence

from storage.errors import InputError

STORES = ("s3", "gs", "az", "abfs", "oss", "hf")
PROTOCOLS = frozenset({*STORES, "s3a", "gcs", "abfss", "file", "memory"})


def refuse_protocol(url: str, what: str, also: Sequence[str] = ()) -> None:
    """Raise InputError for an address that fsspec is not to open.

    what: the sentence's subject, as `sources`; also: protocols that may be given there and that fsspec does not open.
    """
    protocol, chain = url.partition("://")[0], "::" in url
    if protocol in PROTOCOLS and not chain:
        return
    known = ", ".join(f"{name}://" for name in (*also, *STORES, "file"))
    raise InputError(
        f"{what} may not be {'chained by ::' if chain else f'at {protocol[:30]}://'}; what may be given: {known}"
    )

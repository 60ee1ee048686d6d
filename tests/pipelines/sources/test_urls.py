"""Addresses without what opens them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.urls import redacted, redacted_text

PUBLIC = "https://files.example/crawl/a.warc.gz"
SIGV4 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Fs3&X-Amz-Expires=60&X-Amz-Signature=canary"
MAC = "canary%2Bcanary%2Fcanary0canary1canary2canary34"  # 32 bytes in base64
SAS = "sv=2024-11-04&st=2026-01-01T00%3A00Z&se=2026-01-02&sr=b&sp=r&sig=canary%2Bx%3D"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:canary@files.example/crawl/a.warc.gz", PUBLIC),
        ("https://canary@files.example/crawl/a.warc.gz", PUBLIC),
        ("https://user:c@n@ry@files.example/crawl/a.warc.gz", PUBLIC),
        ("https://user:ca/nary@files.example/crawl/a.warc.gz", PUBLIC),
        ("https://user:can#ary@files.example/crawl/a.warc.gz", PUBLIC),
        ("https:/user:canary@files.example/crawl/a.warc.gz", "https:/files.example/crawl/a.warc.gz"),
        (r"HTTPS:\\user:canary@files.example\a", r"HTTPS:\\files.example\a"),
        (f"{PUBLIC}?{SIGV4}", PUBLIC),
        (f"{PUBLIC}?{SAS}", PUBLIC),
        (f"{PUBLIC}?X-Goog-Signature=canary&X-Goog-Date=1", PUBLIC),
        (f"{PUBLIC}?AWSAccessKeyId=canary&Expires=1&Signature=canary", PUBLIC),
        (f"{PUBLIC}?Expires=1&Policy=canary&Key-Pair-Id=canary&Signature=canary", PUBLIC),
        (f"{PUBLIC}?OSSAccessKeyId=canary&Expires=1&Signature=canary", PUBLIC),
        (f"{PUBLIC}?versionId=3&{SIGV4}", f"{PUBLIC}?versionId=3"),
        (f"{PUBLIC}?api_key=canary&part=2", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?part=2&access%5Ftoken=canary", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?key=canary", PUBLIC),
        (f"{PUBLIC}?Api-Key=canary;x#access_token=canary", PUBLIC),
        (f"{PUBLIC};jsessionid=canary", PUBLIC),
        (f"{PUBLIC}?part=2;sig=canary;x=1", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?part=2&amp;sig=canary", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?md5=canary&expires=1", PUBLIC),
        (f"{PUBLIC}?st=canary&e=1&part=2", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?part=2?token=canary", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?access%255Ftoken=canary&auth[token]=canary", PUBLIC),
        ("zip://a.jsonl::https://me:c%40nary@files.example/a.zip", "zip://files.example/a.zip"),
        (f"{PUBLIC}?otp=canary&ticket=canary", PUBLIC),
        (f"{PUBLIC}?userPass=canary&psw=canary&urlSig=canary&Authentication=canary", PUBLIC),
        (f"{PUBLIC}?CloudFront-Policy=canary", PUBLIC),
        (f"{PUBLIC}?verify=1767225600-{MAC}%3D", PUBLIC),
        (f"{PUBLIC}?hold=1767225600-{MAC}=&part=2", f"{PUBLIC}?part=2"),
        (f"{PUBLIC}?1767225600-{MAC}%3D", PUBLIC),
        (f"{PUBLIC}?passcode=canary&jwt_assertion=canary&cookie=canary", PUBLIC),
        (
            "https://p.example/?u=https%3A%2F%2Fme%3Acanary%40x.example%2F",
            "https://p.example/?u=https%3A%2F%2Fx.example%2F",
        ),
        (
            "https://p.example/?u=https%3A%2F%2Fx.example%2F%3Fsig%3Dcanary",
            "https://p.example/?u=https%3A%2F%2Fx.example%2F",
        ),
        ("s3://canary:canary@bucket/a.warc.gz", "s3://bucket/a.warc.gz"),
        ("simplecache::https://user:canary@files.example/a", "simplecache::https://files.example/a"),
        # Nothing secret: as it was.
        (f"{PUBLIC}?key=crawl/b.warc.gz&page=2&exp=7", f"{PUBLIC}?key=crawl/b.warc.gz&page=2&exp=7"),
        (
            f"{PUBLIC}?day=1767225600-1767312000&cookies=1&opinion=2",
            f"{PUBLIC}?day=1767225600-1767312000&cookies=1&opinion=2",
        ),
        (f"{PUBLIC}?compass=n&object_key=b.gz&code=", f"{PUBLIC}?compass=n&object_key=b.gz&code="),
        ("https://files.example/a@b/c?tokenizer=x", "https://files.example/a@b/c?tokenizer=x"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("s3://bucket/part-?.warc.gz", "s3://bucket/part-?.warc.gz"),
        ("hf://datasets/a/b@main/c#1.jsonl", "hf://datasets/a/b@main/c#1.jsonl"),
        ("/data/user:x@y/a.warc.gz?sig=1", "/data/user:x@y/a.warc.gz?sig=1"),
    ],
)
def test_addresses(address: str, expected: str) -> None:
    assert redacted(address) == expected == redacted(expected)


def test_what_looks_random_is_masked_and_tells_two_files_apart() -> None:
    one, two = (redacted(f"{PUBLIC}?f={name * 12}") for name in ("a1", "b2"))
    assert one != two and "a1a1" not in one + two and one == redacted(one)


@pytest.mark.parametrize(
    "name", ["license_key", "rlkey", "subscription-key", "cf_clearance", "code", "mac", "pin", "signed", "verify"]
)
def test_what_may_be_a_key_by_its_name_is_masked_too(name: str) -> None:
    one, two = (redacted(f"{PUBLIC}?{name}={value}&part=2") for value in ("canary", "bird"))
    assert one != two and "canary" not in one and one.endswith("&part=2") and one == redacted(one)


def test_errors() -> None:
    tried = f"tried {PUBLIC}?{SIGV4} at url: /a.warc?sig=canary (refused); why?"
    said = redacted_text(f"Failed to parse: 'https://u:canary@h.example/a', {tried}")
    assert said == f"Failed to parse: 'https://h.example/a', tried {PUBLIC} at url: /a.warc? (refused); why?"

    parts = redacted_text("'me:can' is no host and port", "https://me:can/ary@h.example/a?token=canary")
    assert parts == "'***:***' is no host and port"


def test_an_address_taken_for_a_path_has_lost_a_slash_and_its_password_all_the_same() -> None:
    said = "/here/https:/me:canary@h.example/c.yaml and HTTP:/h.example/a?token=canary are no files of /here/s3:/x"
    assert redacted_text(said) == "/here/https:/h.example/c.yaml and HTTP:/h.example/a are no files of /here/s3:/x"


@given(st.text(st.sampled_from("a:/@?&=;#~%sig[].1"), max_size=60))
def test_once_is_enough(tail: str) -> None:
    for scheme in ("https", "s3"):
        assert redacted(redacted(f"{scheme}://{tail}")) == redacted(f"{scheme}://{tail}")

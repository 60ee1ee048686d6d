"""The list of hosts that were taken down is read whole or not at all."""

import pyarrow as pa
import pytest

from pipelines.denylist import DenyList, denied_hosts, deny, hosts_taken_down
from storage.errors import InputError
from storage.files import DamagedFile
from storage.workspace import Workspace

TORN = {
    "empty": b"",
    "half a line": b'{"host": "b.example", "rea',
    "no text": b"\xff\xfe\x00\n",
    "a word": b'"b.example"\n',
    "no host": b'{"reason": "asked", "added": "2026-01-01"}\n',
    "another field": b'{"host": "b.example", "reason": "", "added": "", "until": ""}\n',
    "nested": b"[" * 100_000,
    "a blank line": b"\n",
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN.keys())
def test_a_damaged_list_is_refused_and_kept(tmp_path, torn):
    workspace = Workspace(tmp_path)
    deny("a.example", "asked", workspace)
    content = workspace.deny_list.read_bytes() + torn if torn else torn
    workspace.deny_list.write_bytes(content)
    for use in (
        lambda: denied_hosts(workspace),
        lambda: deny("c.example", "asked", workspace),
        lambda: hosts_taken_down([tmp_path / "none.parquet"], workspace),
    ):
        with pytest.raises(DamagedFile, match=r"deny-list\.jsonl is damaged .*one line a host"):
            use()
    assert workspace.deny_list.read_bytes() == content


def test_the_damaged_line_is_named(tmp_path):
    workspace = Workspace(tmp_path)
    deny("a.example", "asked", workspace)
    deny("\u00fc.example", "asked: \u2028 twice", workspace)
    assert [entry.host for entry in denied_hosts(workspace)] == ["a.example", "xn--tda.example"]
    workspace.deny_list.write_bytes(workspace.deny_list.read_bytes() + b"{}\n")
    with pytest.raises(DamagedFile, match=r"^line 3 of "):
        denied_hosts(workspace)


def test_a_host_named_www_is_no_whole_domain(tmp_path):
    hosts = pa.table({"host": ["www.de", "m.www.de", "other.de", "www.other.de"]})
    entry = deny("WWW.de", "asked", Workspace(tmp_path))
    assert DenyList([entry.host]).mask(hosts).tolist() == [True, True, False, False]
    assert DenyList(["other.de"]).mask(hosts).tolist() == [False, False, True, True]


@pytest.mark.parametrize("host", ["caf\udce9.example", "a\x00.example", "a.exa\x1bmple"])
def test_what_would_name_another_host_is_refused(tmp_path, host):
    with pytest.raises(InputError, match="is no host"):
        deny(host, "asked", Workspace(tmp_path))

"""The list of hosts that were taken down is read whole or not at all."""

import pytest

from pipelines.denylist import denied_hosts, deny, hosts_taken_down
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

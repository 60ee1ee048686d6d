"""requirements.lock: the versions of constraints.txt, each with a hash, from no place of its own."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(name):
    return {re.sub(r"[-_.]+", "-", one).lower(): version for one, version in PIN.findall((ROOT / name).read_text())}


def test_the_lock_has_the_versions_of_the_constraints_and_all_that_is_required():
    locked, tested = pins("requirements.lock"), pins("constraints.txt")
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", one)[0]).lower() for one in required}
    assert names <= locked.keys(), "make requirements.lock anew, see CONTRIBUTING.md"


def test_every_entry_has_a_hash_and_none_names_a_place():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.partition("\n#")[2].split("\n", 1)[1])
    assert len(entries) == len(pins("requirements.lock")) > 100
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry) for entry in entries)
    assert not re.search(r"://|^\s*--?(index|extra|find|trusted|f\b|i\b)", text, re.MULTILINE)

"""Tells passwords, tokens and keys: by a name, by their own form, and where commands take them.

What is one is refused where it would be kept, as in a config or prefect.yaml, and is not repeated in errors. What only
refers to one is none: a variable, a file, a switch, a template.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

# The end of a name, of a variable or an option, whose value is a secret; but of a model's tokens.
_SECRET_NAME = re.compile(
    r"(?:password|passwd|(?:^|[-_.])(?:pass|pwd|passphrase|(?:api|access|secret|account)[-_]?key|secret|pat|sas"
    r"|(?<!no.)(?<!bos.)(?<!eos.)(?<!pad.)(?<!unk.)(?<!sep.)(?<!cls.)(?<!mask.)token)|(?-i:DBPASS|SSHPASS|[A-Z]_KEY))(?:[-_.]?(?:\d{1,3}|value))?$",
    re.IGNORECASE,
)
_WORD_BEGINS = re.compile("(?<=[a-z0-9])(?=[A-Z])")  # hubToken
_VARIABLE = re.compile("[A-Z][A-Z0-9_]+")
# Below a secret's name: what says where it lies, as in Kubernetes' `valueFrom: {secretKeyRef: {name: n, key: k}}`.
_REFERENCE = re.compile(
    r"(?:value_?from|secret_?key_?ref|secret_?name|name|namespace|key|file|path|env|audience|items)", re.IGNORECASE
)
# A switch, a small number, a path, or what stands for a value that is elsewhere.
_NO_SECRET = re.compile(
    r"|\d{1,4}|true|false|yes|no|on|off|none|null|[/.~$`<].*|\{\{.*|[\w-]+=.*", re.IGNORECASE | re.DOTALL
)
# Keys of YAML that take a log-in, such as names of headers.
_LOGIN_KEY = re.compile(r"(?:^|[-_.])(?:auth|authorization|cookie|bearer|jwt)$", re.IGNORECASE)
# Options that take a key or a log-in, whose names begin others that take none: `--key-file`, `--auth-type`.
_SECRET_OPTION = re.compile(
    r"--?(?:key|jwt|bearer|requirepass|masterauth|(?:[\w-]+-)?auth(?:-?key)?"
    r"|(?:encryption|signing|license|master|shared)-key)",
    re.IGNORECASE,
)
# How one logs in, or where a key lies.
_WAY_OR_FILE = re.compile(
    r"basic|digest|ntlm|negotiate|spnego|kerberos|gssapi|ldap|pam|munge|iam|oauth2?|oidc|jwt|bearer|tls|m?ssl|sasl|plain"
    r"|auto|default|anonymous|public-?key|key(?:file|ring)|password|token|host|trust"
    r"|(?:[\w.-]{1,12}/)+[\w.-]{1,16}|[\w.-]+\.(?:pem|key|crt|p12|pfx|gpg|asc|json|ya?ml|txt|env)",
    re.IGNORECASE,
)
_SWITCH = re.compile(r"--?(?:no|use|with|without|enable|disable|skip|require|allow|ask|prompt)-")
# Tokens that say by how they begin whose they are: of the Hugging Face hub, GitHub, GitLab, Amazon, Google, OpenAI and
# its like, Slack, Vault, Docker's hub, npm; JSON web tokens; private keys.
TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{30,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}\b|AIza[\w-]{35}|sk-(?:proj|ant|or)-[\w-]{20,}|sk-[A-Za-z0-9]{32,}|xox[abprs]-[\w-]{10,}"
    r"|hvs\.[\w-]{20,}|dckr_pat_[\w-]{20,}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
    r"|-----BEGIN (?:[A-Z]{1,12} )?PRIVATE KEY-----[^-]*)"
)
_VALUE = r"(?![$`<{])[^\s;&|]"  # its first character; a variable is none
# Passwords that commands take without a name: of sshpass, of curl's user, in a header, before a host.
_IN_COMMAND = re.compile(
    rf"\bmachine\s+\S+\s+login\s+\S+\s+password\s+{_VALUE}"
    rf"|\bsshpass\s(?:\s*-\w+\s)*?\s*-p\s*{_VALUE}|\s-(?:u|-user)[\s=]\s*(?!\d+:\d+\b)[^\s:=]+:{_VALUE}"
    rf"|\b(?:authorization|cookie):\s*(?:\w+\s+)?+{_VALUE}"
    rf"|(?<![\w.-])[\w.-]+:(?![$`<{{])[^\s@/:]+@(?!sha\d)(?:[a-z]|\d+\.)",
    re.IGNORECASE,
)
# And under a letter that means something else to others: `mysql -pX`, but `ssh -p 22`.
_LOGIN_TO = r"(?:docker|podman|nerdctl|skopeo|buildah|az|oc|twine|helm\s+registry)\s+login"
_OF_PROGRAMS = (
    (r"(?:mysql|mariadb)[\w-]*|7z[ar]?|u?n?rar", "-p"),
    (r"(?:redis|valkey)-cli", r"-a\s*"),
    (rf"mongo\w*|cqlsh|{_LOGIN_TO}", r"-p\s+"),
    (r"ldap\w+", r"-w\s*"),
    (r"(?:un)?zip|sqlcmd|bcp|ipmitool", r"-P\s*"),
    (r"prefect\s+cloud\s+login", r"-k\s+"),
    (r"lftp", r"-u\s+[^\s,]+,"),
    (r"smbclient", r"-U\s*[^\s%]+%"),
)
_ways = "|".join(rf"(?:{program})\s(?:[^;&|]{{0,500}}\s)?{option}" for program, option in _OF_PROGRAMS)
_OF_A_PROGRAM = re.compile(rf"(?<![\w.-])(?:{_ways}){_VALUE}")
# A token as the only word behind `login`, and options before it that take a word.
_LOGIN = re.compile(
    r"(?<![\w.-])(?:vault|bao|wandb|swanlab|clearml|comet)\s+login\s+"
    r"(?:-{1,2}(?:method|path|address|ca-cert|namespace|format|field|host|entity)\s+\S+\s+|-\S+\s+)*+"
    rf"(?![-/.~]|[\w-]+=){_VALUE}"
)
_OPTION = re.compile(r"-(?!-secret\Z)[\w.-]+\Z")  # docker's takes a secret's name
_MAX_COMMAND = 10_000  # characters that are looked at
_SCHEMES = ("basic", "bearer", "token")  # before what logs in, in a header
_WORDS_BEFORE = 4  # of a command that is a list: what says that a word is a secret stands so near


def is_credential(name: str, value: str) -> bool:
    """Tell whether a value is a secret by its name, as of an environment variable or an option."""
    if _NO_SECRET.fullmatch(value):
        return False
    is_of_option = _SECRET_OPTION.fullmatch(name) and not _WAY_OR_FILE.fullmatch(value)
    return bool(is_of_option or _names_secret(name))


def has_credential(command: str) -> bool:
    """Tell whether a command holds what may be a password, a token or a key."""
    text = re.sub("[\"']", "", command[:_MAX_COMMAND])
    words = [word for word in re.split(r"[\s,;&|()]+", text) if word]
    given = [pair for word in words for pair in pairwise(re.split(r"[=:]", word))]  # --export=TOKEN=abc
    for name, value in pairwise(words):
        if name.endswith(":"):  # of a header
            given.append((name[:-1], value))
        elif _OPTION.match(name) and not _SWITCH.match(name) and not value.startswith("-"):
            given.append((name, value))
    found = (pattern.search(text) for pattern in (TOKEN, _IN_COMMAND, _OF_A_PROGRAM, _LOGIN))
    return any(is_credential(*pair) for pair in given) or any(found)


def has_token(text: str) -> bool:
    """Tell whether a text holds a token that can be told by its form."""
    return TOKEN.search(text) is not None


def credentials_in(value: Any, name: str = "") -> Iterator[str]:
    """Yield by what names a tree, as of YAML, holds secrets: the way to each of them."""
    yield from _differing(value, masked(value, name), name)


def masked(value: Any, name: str = "") -> Any:
    """Return a tree, as of YAML, with *** in the place of secrets. name: of what stands at its top."""
    return _masked(value, name, is_told=False)


def _masked(value: Any, name: str, is_told: bool) -> Any:
    """is_told: what the tree is part of says that it is a secret, as the lists and mappings under HF_TOKEN are."""
    is_told = is_told or _names_secret(name)
    if isinstance(value, Mapping):
        values = _under_value(value)
        return {
            "***" if has_token(str(key)) else key: _masked(
                item, f"{name}.{key}", key in values or (is_told and not _REFERENCE.fullmatch(str(key)))
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        hidden = _in_words(value)
        return ["***" if hidden[place] else _masked(item, name, is_told) for place, item in enumerate(value)]
    if value is None:
        return None
    text = str(value)
    return "***" if (is_told and not _NO_SECRET.fullmatch(text)) or _is_secret(name, text) else value


def _under_value(entry: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of a secret that the entry names beside it, as Kubernetes, Azure and Compose have variables."""
    by_name = {str(key).lower(): key for key in entry}
    names = [entry[by_name[key]] for key in ("name", "key", "variable") if key in by_name]
    return [by_name["value"]] if "value" in by_name and any(_names_secret(str(name)) for name in names) else []


def _in_words(items: Sequence[Any]) -> list[bool]:
    """Tell which items of a list are secrets by those before them: the words of a command, a variable and its value."""
    words = ["" if isinstance(item, Mapping | list | tuple) else str(item) for item in items]
    if len(words) == 2 and _VARIABLE.fullmatch(words[0]):
        return [False, is_credential(*words)]
    return [_ends_in_credential(words[max(0, place - _WORDS_BEFORE) : place], word) for place, word in enumerate(words)]


def _ends_in_credential(before: list[str], word: str) -> bool:
    text = " ".join(before)
    is_new = not has_credential(text) or before[-1].lower() in _SCHEMES
    return bool(before and word) and is_new and has_credential(f"{text} {word}")


def _differing(value: Any, other: Any, name: str) -> Iterator[str]:
    """Yield the way to what differs in two trees of one shape."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        for (key, item), (key_there, there) in zip(value.items(), other.items(), strict=False):
            way = f"{name}.{key_there}" if name else str(key_there)
            yield from [way] if key != key_there else _differing(item, there, way)
    elif isinstance(value, list | tuple) and isinstance(other, list):
        for place, (item, there) in enumerate(zip(value, other, strict=True)):
            yield from _differing(item, there, f"{name}.{place}")
    elif value != other:
        yield name


def _names_secret(name: str) -> bool:
    return _SECRET_NAME.search(_WORD_BEGINS.sub("_", name)) is not None


def _is_secret(name: str, text: str) -> bool:
    value = text.rpartition("=")[2] or text  # of a cookie
    logs_in = _LOGIN_KEY.search(name) and not _NO_SECRET.fullmatch(value) and not _WAY_OR_FILE.fullmatch(value)
    return bool(logs_in) or is_credential(name, text) or has_credential(text)

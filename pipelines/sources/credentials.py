"""Tells passwords, tokens and keys: by a name, by their own form, and where commands take them.

What is one is refused where it would be kept, as in a config or prefect.yaml, and is not repeated in errors. What only
refers to one is none: a variable, a file, a switch, a template.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

# The end of a name, of a variable or an option, whose value is a secret; but of a model's tokens.
_SECRET_NAME = re.compile(
    r"(?:password|passwd|(?:^|[-_.])(?:pass|pwd|passphrase|(?:api|access|secret|account)[-_]?key|secret|pat|sas"
    r"|(?<!no.)(?<!bos.)(?<!eos.)(?<!pad.)(?<!unk.)(?<!sep.)(?<!cls.)(?<!mask.)token)|(?-i:DBPASS|SSHPASS|[A-Z]_KEY))$",
    re.IGNORECASE,
)
# A switch, a small number, a path, or what stands for a value that is elsewhere.
_NO_SECRET = re.compile(
    r"|\d{1,4}|true|false|yes|no|on|off|none|null|[/.~$`<].*|\{\{.*|[\w-]+=.*", re.IGNORECASE | re.DOTALL
)
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
# its like, Slack, Vault, Docker's hub, npm; JSON web tokens.
TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{30,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}\b|AIza[\w-]{35}|sk-(?:proj|ant|or)-[\w-]{20,}|sk-[A-Za-z0-9]{32,}|xox[abprs]-[\w-]{10,}"
    r"|hvs\.[\w-]{20,}|dckr_pat_[\w-]{20,}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.)"
)
_VALUE = r"(?![$`<{])[^\s;&|]"  # its first character; a variable is none
# Passwords that commands take without a name: of sshpass, of curl's user, in a header, before a host.
_IN_COMMAND = re.compile(
    rf"\bsshpass\s(?:\s*-\w+\s)*?\s*-p\s*{_VALUE}|\s-(?:u|-user)[\s=]\s*(?!\d+:\d+\b)[^\s:=]+:{_VALUE}"
    rf"|\bauthorization:\s*(?:\w+\s+)?+{_VALUE}|(?<![\w.-])[\w.-]+:(?![$`<{{])[^\s@/:]+@(?!sha\d)(?:[a-z]|\d+\.)",
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


def is_credential(name: str, value: str) -> bool:
    """Tell whether a value is a secret by its name, as of an environment variable or an option."""
    if _NO_SECRET.fullmatch(value):
        return False
    is_of_option = _SECRET_OPTION.fullmatch(name) and not _WAY_OR_FILE.fullmatch(value)
    return bool(is_of_option or _SECRET_NAME.search(name))


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
    if isinstance(value, Mapping):
        if is_credential(str(value.get("name")), str(value.get("value", ""))):  # as Kubernetes has variables
            yield f"{name}.value" if name else "value"
        for key, item in value.items():
            yield from credentials_in(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from credentials_in(item, f"{name}.{place}")
    elif value is not None and _is_secret(name, str(value)):
        yield name


def masked(value: Any, name: str = "") -> Any:
    """Return a tree, as of YAML, with *** in the place of secrets."""
    if isinstance(value, Mapping):
        hidden = is_credential(str(value.get("name")), str(value.get("value", "")))
        return {key: "***" if hidden and key == "value" else masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, name) for item in value]
    return "***" if value is not None and _is_secret(name, str(value)) else value


def _is_secret(name: str, text: str) -> bool:
    return is_credential(name, text) or has_credential(text)

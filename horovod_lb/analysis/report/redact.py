"""Secrets that a script printed, or that stand in a command line, do not get into a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

HIDDEN = "[hidden]"
_WORD = (
    r"(?:token|secret|passwd|password|passphrase|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"authorization|cookie|signature)"
)
_NAMED = re.compile(rf"""({_WORD}[\w-]*["']?\s*[=:]\s*["']?)(?!\[hidden\])[^\s"',;]+""", re.IGNORECASE)
_OPTION = re.compile(rf"(--?[\w-]*{_WORD}[\w-]*\s+)[^\s-]\S*", re.IGNORECASE)
_BEARER = re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_URL = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")  # https://user:password@host
# Forms that tokens of well-known services have, and private keys.
_FORM = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|sk-[\w-]{20,}|xox[abpors]-[\w-]{10,}|"
    r"A(?:KIA|SIA)[A-Z0-9]{16}|AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# Most texts have nothing of the kind: one look tells.
_ANY = re.compile(
    rf"{_WORD}|bearer|basic|://|\b(?:gh[pousr]_|glpat-|hf_|sk-|xox|A[KS]IA|AIza|eyJ)|PRIVATE KEY",
    re.IGNORECASE,
)


@lru_cache(maxsize=20_000)
def redact(text: str) -> str:
    """`text` with what looks like a secret replaced by `[hidden]`: after names like `token=`, credentials in
    addresses, private keys, and tokens in the form of well-known services.
    """
    if not _ANY.search(text):
        return text
    text = _FORM.sub(HIDDEN, text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _URL.sub(rf"\1{HIDDEN}", text)
    return _OPTION.sub(rf"\1{HIDDEN}", _NAMED.sub(rf"\1{HIDDEN}", text))


def redacted(value: Any) -> Any:
    """`value` with every text in it redacted, and what stands under a name like `api_key`."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _entry(str(key), item) for key, item in value.items()}
    return [redacted(item) for item in value] if isinstance(value, list | tuple) else value


def _entry(key: str, value: Any) -> Any:
    if isinstance(value, str) and value and re.search(_WORD, key, re.IGNORECASE):
        return HIDDEN
    return redacted(value)

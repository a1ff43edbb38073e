"""What somebody may have meant who wrote a word that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


def nearest(key: str, candidates: Iterable[str]) -> str | None:
    """The candidate whose last word is most like that of the dotted `key`; None if there is none like it."""
    words: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate != key:
            words.setdefault(_last(candidate), []).append(candidate)
    close = get_close_matches(_last(key), words, n=1, cutoff=0.7)
    if not close:
        return None
    return max(words[close[0]], key=lambda candidate: SequenceMatcher(None, key, candidate).ratio())


def _last(key: str) -> str:
    return key.rsplit(".", 1)[-1]

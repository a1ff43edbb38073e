"""A report as a strict reader sees it: HTML that nests, tables by name, and the packed data unpacked."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and gathers the tables' cells, ids, scripts and what the page would load."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.grids: dict[str, list[list[str]]] = {}
        self.loads: list[str] = []
        self.links: dict[str, str] = {}
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self.json: dict[str, str] = {}
        self.policy = ""
        self.text = ""
        self._grid: str | None = None
        self._script: str | None = None
        self.feed(path.read_text())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        about = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag == "a" and "download" in about:
            self.links[about["download"] or ""] = about["href"] or ""
        if about.get("http-equiv") == "Content-Security-Policy":
            self.policy = about["content"] or ""
        if tag == "script":
            self._script = about.get("id", "") if about.get("type") == "application/json" else ""
        if "data-name" in about:
            self._grid = about["data-name"]
        if tag == "table":
            self.tables.append([])
            if self._grid:
                self.grids[self._grid] = self.tables[-1]
                self._grid = None
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            if self._script:
                self.json[self._script] = self.json.get(self._script, "") + data
            else:
                self.scripts.append(data)
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def data(self, name: str) -> Any:
        """The value of a JSON element."""
        return json.loads(self.json[name])

    def details(self, run: int) -> dict[str, Any]:
        """What the page knows of the run of this number."""
        views = self.data("data-views")
        return unpacked_json(views["blocks"][run // views["size"]])[run % views["size"]]

    def download(self, name: str) -> str:
        """The content of a file that the page offers as a link."""
        head, _, content = self.links[name].partition(";base64,")
        assert head.startswith("data:")
        return base64.b64decode(content).decode()


def inflated(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def unpacked_json(text: str) -> Any:
    return json.loads(inflated(text))


def words(text: str, kind: str) -> list[float]:
    """Numbers of four bytes that stand as all their first bytes, all their second ones, and so on."""
    data = inflated(text)
    count = len(data) // 4
    whole = bytes(data[byte * count + index] for index in range(count) for byte in range(4))
    return list(struct.unpack(f"<{count}{kind}", whole))


def column(packed: dict[str, Any], run: int, kind: str = "f") -> list[float] | None:
    """A run's values of a packed column."""
    which = packed["which"][run]
    if which < 0:
        return None
    start = sum(packed["lengths"][:which])
    return words(packed["values"], kind)[start : start + packed["lengths"][which]]

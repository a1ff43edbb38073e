"""docs/machines.md has every key of a profile, with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from horovod_lb.cli.machines import _toml
from horovod_lb.machines.explain import known_keys
from horovod_lb.machines.profile import Bin, Limits, Machine, Storage

MANUAL = Path(__file__).parents[2] / "docs" / "machines.md"
# Said in words: they follow from other keys, or are tables.
IN_WORDS = ("ranks_per_node", "cores_per_rank", "limits", "storage")


def rows():
    section = MANUAL.read_text(encoding="utf-8").split("## Every key")[1].split("\n## ")[0]
    found = re.findall(r"^\| `([a-z_.]+)` \| (.*?) \| (.*?) \| (.*) \|$", section, re.MULTILINE)
    return {key: (value, default, meaning) for key, value, default, meaning in found}


def fields():
    for prefix, model in (("", Machine), ("walltimes.", Bin), ("limits.", Limits), ("storage.", Storage)):
        yield from ((f"{prefix}{name}", field) for name, field in model.model_fields.items())


def test_every_key_and_no_other():
    assert list(rows()) == [key for key in known_keys() if key != "name"]


def test_defaults():
    for key, field in fields():
        if key not in ("name", *IN_WORDS):
            _, said, _ = rows()[key]
            default = "must be given" if field.is_required() else _toml(field.default) or "none"
            assert said.strip("`") == default, key


def test_choices_are_all_there():
    for key, field in fields():
        choices = re.findall(r"Literal\[(.*?)\]", str(field.annotation))
        if choices and key != "launcher":
            assert re.findall(r'"(\w+)"', rows()[key][0]) == re.findall(r"'(\w+)'", choices[0])

"""YAML reading: values as the YAML 1.2 core schema has them, lines, and what is refused."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import StudyError
from horovod_lb.study import document
from horovod_lb.study.document import Document, dotted


def message(text):
    with pytest.raises(StudyError) as error:
        Document(text, "f.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5.0e-5", 5e-5),
        ("1_000", "1_000"),
        ("010", 10),
        ("0x10", 16),
        ("0o10", 8),
        ("-.5", -0.5),
        ("2:00", "2:00"),
        ("2001-01-01", "2001-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ("-.inf", -math.inf),
        ("<<", "<<"),
        ("${DIR}/x", "${DIR}/x"),
        ('"${DIR}"', "${DIR}"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    data = Document(f"a: {text}", "f").data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab :#{}[]'\"$&*!|>%@\n\u00e9"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz._", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_reads_what_pyyaml_writes(value):
    assert Document(yaml.safe_dump({"top": value}), "f").data == {"top": value}


def test_variables_within_flow_mappings():
    data = Document("data: {name: imagenet, root: ${IMAGENET_DIR}, holdout: 0}", "f").data
    assert data == {"data": {"name": "imagenet", "root": "${IMAGENET_DIR}", "holdout": 0}}


def test_every_value_knows_its_line():
    read = Document("a: 1\nb:\n  c: {d: 2,\n   e: 3}\n  f:\n  - 4\n  - {g: 5}\n", "f.yaml")
    lines = {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", "d"): 3,
        ("b", "c", "e"): 4,
        ("b", "f", 0): 6,
        ("b", "f", 1, "g"): 7,
        ("b", "f", 1, "missing", "below"): 7,
        ("elsewhere",): 1,
    }
    assert {path: read.where(path) for path in lines} == {
        path: f"f.yaml:{line}" for path, line in lines.items()
    }


def test_paths_are_shown_as_written():
    assert dotted(("recipe", "schedule", "epochs", 1)) == "recipe.schedule.epochs[1]"


def test_aliases_are_copies():
    data = Document("a: &x {b: [1]}\nc: *x", "f").data
    assert data == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert data["a"] is not data["c"] and data["a"]["b"] is not data["c"]["b"]


def test_duplicate_keys():
    assert message("a:\n  b: 1\n  c: 2\n  b: 3\n") == (
        "f.yaml:4: a.b: written twice, in line 2 too; keep one of them"
    )


def test_alias_bomb():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    assert message(bomb) == (
        f"f.yaml:6: the file unfolds into more than {document.MAX_VALUES} values, as aliases of aliases do; "
        "write out what is meant"
    )


def test_alias_to_itself():
    assert message("a: &a [1, *a]") == "f.yaml:1: the alias *a has no finished anchor &a before it"


def test_text_nested_so_deeply_that_a_recursive_reader_would_fall_over():
    assert message("a: " + "[" * 200_000) == "f.yaml:1: nested more than 50 levels deep; write it flatter"


def test_tags():
    assert message("a: 1\nb: !!python/object/apply:os.system [ls]\n") == (
        "f.yaml:2: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed; "
        "write a plain value"
    )


def test_keys_that_are_not_words():
    assert message("a: 1\n? [b, c]\n: 2\n") == (
        "f.yaml:2: a key must be a word, not a list, mapping or alias"
    )


def test_not_yaml():
    assert message("a: 1\nb: {c: 1\nd: 2\n").startswith(
        "f.yaml:3: not valid YAML: while parsing a flow mapping"
    )
    assert message("a: \x01").startswith("f.yaml: not valid YAML: unacceptable character")


def test_two_documents():
    assert message("a: 1\n---\nb: 2\n") == "f.yaml:2: a second document begins here; one file holds one study"


def test_numbers_without_end():
    assert message("a: " + "9" * 10_000) == "f.yaml:1: a number of 10000 digits is too long"


def test_files(tmp_path):
    path = tmp_path / "s.yaml"
    with pytest.raises(StudyError, match=r"s.yaml: no such file"):
        Document.read(path)
    path.write_bytes("a: 1\nb: ü\n".encode("latin-1"))
    with pytest.raises(StudyError, match=r"s.yaml:2: byte 0xfc is not UTF-8; save the file as UTF-8"):
        Document.read(path)
    with pytest.raises(StudyError, match=r"cannot be read: Is a directory"):
        Document.read(tmp_path)
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert Document.read(path).data == {"a": 1}


def test_without_the_c_parser(monkeypatch):
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    test_variables_within_flow_mappings()
    test_every_value_knows_its_line()
    test_duplicate_keys()
    test_alias_bomb()
    test_two_documents()
    assert message("a: " + "[" * 2000).endswith("nested more than 50 levels deep; write it flatter")

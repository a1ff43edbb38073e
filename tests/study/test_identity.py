"""Ids: what changes them, what does not, and a value worked out apart from the library."""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.study.identity import run_id


def test_against_a_hash_worked_out_by_hand(runs):
    (run,) = runs(replace=[("  warmup: {epochs: 5}\n", "  warmup: {epochs: 5.0, start: reference}\n")])
    identity = {
        "axes": {},
        "data": {"examples": 60000, "name": "custom"},
        "job": "train.py",
        "measure": [],
        "model": {"name": "lenet5"},
        "recipe": {
            "batch_size": 256,
            "epochs": 30,
            "groups": 2,
            "reference": {"batch_size": 256, "learning_rate": 0.1},
            "scaling": "linear",
            "schedule": {"epochs": [15, 25], "kind": "step"},
            "warmup": {"epochs": 5},
        },
        "schema": 1,
        "seed": 0,
    }
    text = json.dumps(identity, sort_keys=True).replace(": ", ":").replace(", ", ",")
    assert run.run_id == hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    numbers | st.booleans() | st.none() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=15,
)


def respelled(value):
    """The same value with keys in another order and numbers of another type."""
    if isinstance(value, dict):
        return {key: respelled(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [respelled(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


@given(st.dictionaries(st.text(), values))
def test_order_and_spelling_of_numbers_do_not_matter(value):
    assert run_id(respelled(value)) == run_id(value)


@given(st.dictionaries(st.text(), values), st.dictionaries(st.text(), values))
def test_different_content_has_different_ids(one, other):
    if one != other:
        assert run_id(one) != run_id(other)


def test_twelve_digits():
    assert len(run_id({})) == 12 and int(run_id({}), 16) >= 0


DEFAULTS = {
    "model": {"batch_norm": "plain", "zero_gamma": None},
    "data": {"holdout": 0, "augment": "none"},
    "recipe": {
        "groups": 2,
        "remainder": "continuous",
        "optimizer": {"kind": "momentum", "momentum": 0.9, "nesterov": False, "correction": True},
        "sam": None,
        "weight_decay": {"value": 0.0, "kind": "l2", "exclude": []},
        "label_smoothing": 0.0,
        "clip_global_norm": None,
        "precision": "float32",
        "communication": {"allreduce": "ring"},
        "budget": None,
    },
    "measure": [],
    "checkpoint": {"every_epochs": 1, "keep": 2},
    "seeds": [0],
    "report": {"figures": []},
}


@given(
    keys=st.sets(st.sampled_from([(s, k) for s, v in DEFAULTS.items() if isinstance(v, dict) for k in v])),
    order=st.randoms(),
)
def test_writing_defaults_and_reordering_keys_changes_nothing(runs, write, tmp_path, keys, order):
    (plain,) = runs()
    content = yaml.safe_load((tmp_path / "study.yaml").read_text())
    for section, key in keys:
        content.setdefault(section, {})[key] = DEFAULTS[section][key]

    def shuffled(value):
        if not isinstance(value, dict):
            return value
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    (written,) = runs(text=yaml.safe_dump(shuffled(content), sort_keys=False))
    assert written.run_id == plain.run_id


@pytest.mark.parametrize(
    ("replace", "changes"),
    [
        (("workers: 2", "workers: 4"), True),  # groups follow the workers
        (("{workers: 2}", '{workers: 2, walltime: "2:00"}'), False),
        (("name: tiny", "name: other"), False),
        (("examples: 60000", "examples: 60000, root: /somewhere"), False),
        (("examples: 60000", "examples: 50000"), True),
        (("scaling: linear", "scaling: sqrt"), True),
        (("scaling: linear", "scaling: linear\n  communication: {allreduce: rabenseifner}"), False),
        (("scaling: linear", "scaling: linear\n  label_smoothing: 0.1"), True),
        (("scaling: linear", "scaling: linear\n  sam: null"), False),
        (("scaling: linear", "scaling: linear\n  sam: {}"), True),
        (("job: train.py", "job: ./train.py"), True),
        (("lenet5", "lenet-5"), True),
    ],
)
def test_what_is_in_an_id(runs, replace, changes):
    (plain,) = runs()
    (changed,) = runs(replace=[replace])
    assert (changed.run_id != plain.run_id) is changes


def test_the_job_script_may_be_edited(runs, tmp_path):
    (before,) = runs()
    path = tmp_path / "train.py"
    path.write_text("def main(run):\n    print(run)\n")
    (after,) = expand_again(tmp_path)
    assert after.run_id == before.run_id
    assert after.spec["job"]["sha256"] != before.spec["job"]["sha256"]


def expand_again(folder):
    from horovod_lb.study import expand, load_study

    return expand(load_study(folder / "study.yaml"))


def test_workers_alone_leave_the_id_when_groups_are_given(runs):
    ids = {
        run.run_id
        for workers in (1, 2, 4)
        for run in runs(
            replace=[
                ("workers: 2", f"workers: {workers}"),
                ("batch_size: 256\n", "batch_size: 256\n  groups: 4\n"),
            ]
        )
    }
    assert len(ids) == 1


def test_resources_and_communication_count_as_axes(runs):
    workers = runs(
        "axes: {resources.workers: [1, 2, 4]}\n",
        replace=[("batch_size: 256\n", "batch_size: 256\n  groups: 4\n")],
    )
    assert len({run.run_id for run in workers}) == 3
    algorithms = runs("axes: {recipe.communication.allreduce: [ring, rabenseifner]}\n")
    assert len({run.run_id for run in algorithms}) == 2


def test_extending_an_axis_only_adds_runs(runs):
    few = runs("axes: {recipe.batch_size: [256, 512]}\nseeds: [0]\n")
    many = runs("axes: {recipe.batch_size: [1024, 512, 256]}\nseeds: [0, 1]\n")
    assert {run.run_id for run in few} < {run.run_id for run in many}
    assert len({run.run_id for run in many}) == 6
    by_id = {run.run_id: run for run in many}
    assert all(by_id[run.run_id].point == run.point for run in few)


def test_an_axis_and_a_plain_value_give_the_same_run(runs):
    (axis,) = runs("axes: {recipe.batch_size: [512]}\n")
    (plain,) = runs(replace=[("batch_size: 256\n", "batch_size: 512\n")])
    assert axis.run_id == plain.run_id

"""Profiles over each other: whose key counts, and where it came from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.errors import MachineError
from horovod_lb.machines import default_machine, load_machine, machine_names
from horovod_lb.machines.load import _merge, load_profile
from horovod_lb.machines.source import SHIPPED


def test_user_over_shipped_and_study_over_both(places):
    user = places.write(places.user, "summit", 'account = "user1"\nqueue = "mine"\n[limits]\nqueued = 50\n')
    study = places.write(places.study, "summit", 'account = "study1"\n')
    assert machine_names(places.study_file)["summit"] == [SHIPPED / "summit.toml", user, study]
    assert machine_names()["summit"] == [SHIPPED / "summit.toml", user]
    summit = load_machine("summit", study=places.study_file)
    assert (summit.account, summit.queue) == ("study1", "mine")
    # Tables key by key: the two other limits are the shipped ones.
    assert (summit.limits.array_size, summit.limits.queued, summit.limits.eligible) == (1000, 50, 4)
    assert load_machine("summit").account == "user1"
    assert load_machine("summit", study=places.study_file.parent).account == "study1"


def test_lists_are_replaced_and_keys_taken_back(places):
    places.write(
        places.user,
        "summit",
        'queue = ""\ndirectives = []\n[[walltimes]]\nnodes = [1, 4608]\nlimit = "1:00"\n',
    )
    summit = load_machine("summit")
    assert summit.queue is None
    assert summit.directives == []
    assert [bin.minutes for bin in summit.walltimes] == [60]


def test_a_name_of_its_own(places):
    places.write(places.user, "summit", 'account = "ABC123"\n')
    places.write(places.user, "peak", 'extends = "summit"\ngpus_per_node = 2\n')
    places.write(places.study, "peak-small", 'extends = "peak"\nnodes = 4608\n')
    small = load_machine("peak-small", study=places.study_file)
    assert small.name == "peak-small"
    assert small.account == "ABC123"  # the user's layer of what it extends counts
    # Two ranks share the 42 cores that six shared.
    assert (small.ranks_per_node, small.cores_per_rank) == (2, 21)


def test_overrides_come_last(places):
    places.write(places.study, "summit", 'account = "study1"\n')
    changes = {"account": "XYZ", "limits.queued": 7, "storage.scratch": "/s"}
    summit = load_machine("summit", study=places.study_file, overrides=changes)
    assert (summit.account, summit.limits.queued, summit.storage.scratch) == ("XYZ", 7, "/s")
    assert summit.limits.array_size == 1000
    with pytest.raises(MachineError, match=r"^--account: account: found 'a b'; allowed are letters"):
        load_machine("summit", overrides={"account": "a b"})


def test_where_each_key_is_from(places):
    path = places.write(places.user, "summit", '# mine\naccount = "A"\n\n[limits]\nqueued = 5\n')
    profile = load_profile("summit", overrides={"queue": "debug"})
    assert profile.origin(("account",)) == f"{path}:2"
    assert profile.origin(("limits", "queued")) == f"{path}:5"
    text = (SHIPPED / "summit.toml").read_text().splitlines()
    assert profile.origin(("limits", "eligible")) == (
        f"{SHIPPED / 'summit.toml'}:{text.index('eligible = 4') + 1}"
    )
    assert profile.origin(("queue",)) == "--queue"
    assert profile.origin(("mpi",)) is None
    assert profile.layers == (SHIPPED / "summit.toml", path)


def test_default_machine(places, monkeypatch):
    assert default_machine() is None
    config = places.user.parent / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('machine = "summit"\n')
    assert default_machine() == "summit"
    monkeypatch.setenv("HLB_MACHINE", "local")
    assert default_machine() == "local"
    monkeypatch.delenv("HLB_MACHINE")
    config.write_text("# mine\nmachine = 3\n")
    with pytest.raises(MachineError, match=r"config\.toml:2: machine: the name of a profile is needed"):
        default_machine()


keys = st.sampled_from("abc")
leaves = st.integers() | st.lists(st.integers(), max_size=2)
tables = st.recursive(
    st.dictionaries(keys, leaves, max_size=3), lambda inner: st.dictionaries(keys, leaves | inner, max_size=3)
)


def _lookup(layers, path):
    """The definition: the value in the newest layer that says anything at `path`, or cuts it off."""
    for layer in reversed(layers):
        here = layer
        for position, part in enumerate(path):
            if part not in here:
                break
            here = here[part]
            if not isinstance(here, dict):
                return here if position == len(path) - 1 else None
    return None


@given(st.lists(tables, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_every_leaf_is_the_newest_layers(layers):
    merged = {}
    for layer in layers:
        merged = _merge(merged, layer)

    def walk(table, before):
        for key, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, (*before, key))
            else:
                yield (*before, key), value

    for path, value in walk(merged, ()):
        assert _lookup(layers, path) == value
    for path, _ in (leaf for layer in layers[-1:] for leaf in walk(layer, ())):
        assert _lookup([merged], path) == _lookup(layers, path)

"""`data` of a study: one model a set, what enters a run's id, and the line that a problem is said of."""

from __future__ import annotations

import pytest

from horovod_lb.errors import StudyError
from horovod_lb.study import expand, load_study

IDX = "name: idx, set: letters, examples: 600, test_examples: 60, classes: 26, shape: [28, 28, 1]"


@pytest.fixture
def one(runs):
    """The only run of the study with this `data`."""

    def run(words):
        (found,) = runs(replace=[("name: custom, examples: 60000", words)])
        return found

    return run


def test_each_set_has_its_own_words_and_defaults(one):
    assert one("name: mnist").spec["data"] == {
        "name": "mnist",
        "root": None,
        "holdout": 0,
        "augment": "none",
    }
    assert one("name: cifar10, augment: standard, holdout: 5000").spec["data"] == {
        "name": "cifar10",
        "root": None,
        "holdout": 5000,
        "augment": "standard",
    }
    synthetic = one("name: synthetic, shape: [8, 8, 3], classes: 4, examples: 1e3").spec["data"]
    assert synthetic["examples"] == 1000 and synthetic["val_examples"] == 1000 and synthetic["learnable"]


def test_sizes_reach_the_recipe(one):
    assert one("name: cifar10, holdout: 5000").resolved.timeline.examples == 45_000
    assert one(f"{IDX}, holdout: 88").resolved.timeline.examples == 512
    assert one("name: synthetic, shape: [8], classes: 4, examples: 777").resolved.timeline.examples == 777


def test_what_a_set_is_enters_the_id_and_not_where_it_is(one):
    ids = {
        one(words).run_id
        for words in (
            "name: mnist",
            "name: cifar10",
            "name: cifar10, augment: standard",
            "name: cifar10, holdout: 5000",
            IDX,
            IDX.replace("letters", "digits"),
        )
    }
    assert len(ids) == 6
    for words in (IDX, "name: mnist", "name: cifar10"):
        assert one(f"{words}, root: /a").run_id == one(f"{words}, root: /b").run_id == one(words).run_id
    assert one("name: cifar10, augment: none, holdout: 0").run_id == one("name: cifar10").run_id


def test_ids_of_runs_there_are(one):
    """As before each set had words of its own."""
    assert one("name: custom, examples: 60000").run_id == "dfbe7b08b99c"
    assert one("name: mnist, holdout: 5000").run_id == "8058256cfdd4"


def test_the_set_may_be_an_axis(runs):
    found = runs(
        "axes:\n  data.holdout: [0, 5000]\n", replace=[("name: custom, examples: 60000", "name: mnist")]
    )
    assert [run.resolved.timeline.examples for run in found] == [60_000, 55_000]
    found = runs(
        "points:\n  - {data.name: mnist}\n  - {data.name: cifar10, data.augment: standard}\n",
        replace=[("name: custom, examples: 60000", "holdout: 100")],
    )
    assert [run.resolved.timeline.examples for run in found] == [59_900, 49_900]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("name: mnist, augment: standard", "data.augment: found 'standard'; allowed: none"),
        (
            "name: mnist, examples: 5",
            "data.examples: unknown key; allowed here: root, holdout, augment",
        ),
        ("name: cifar10, augment: strong", "data.augment: found 'strong'; allowed: none, standard"),
        ("name: cifar10, clases: 10", "data.clases: unknown key; allowed here: name, root, holdout, augment"),
        ("name: cifar100", "data.name: found 'cifar100'; allowed: digits, mnist, cifar10,"),
        (
            "root: /data",
            "data.name: missing; it must be given, for it decides",
        ),
        ("name: idx", "data.set: missing; it must be given"),
        ("name: idx, set: ../up", "data.set: found '../up'; allowed are"),
        ("name: idx, set: letters, root: /nowhere", "/nowhere: there is no such folder"),
        (f"{IDX}, std: [0.0], mean: [0.1]", "data.std[0]: found 0.0; a number > 0 is needed"),
        (f"{IDX}, mean: [0.1]", "data.mean: mean and std need a value for each of the 1 channels"),
        (f"{IDX}, holdout: 600", "data.holdout: 600 leaves nothing to train on; idx has 600"),
        ("name: synthetic, classes: 4, examples: 5", "data.shape: missing; it must be given"),
        ("name: synthetic, shape: [8, 0], classes: 4, examples: 5", "data.shape[1]: found 0; a number >= 1"),
        ("name: synthetic, shape: [8], classes: 4, examples: 5, holdout: 1", "data.holdout: a synthetic set"),
    ],
)
def test_wrong_words_are_refused_with_their_line(write, words, message):
    with pytest.raises(StudyError) as caught:
        expand(load_study(write(replace=[("name: custom, examples: 60000", words)])))
    assert f"study.yaml:4: {message}" in str(caught.value)

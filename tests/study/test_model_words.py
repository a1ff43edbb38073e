"""`model` of a study: words for batch normalization that go together, and those that do not."""

from __future__ import annotations

import pytest

from horovod_lb.errors import RecipeError, StudyError
from horovod_lb.recipe.batch import Batch
from horovod_lb.recipe.normalization import Span, normalized_examples, span


def _model(words: str) -> list[tuple[str, str]]:
    return [("{name: lenet5}", f"{{name: {words}}}"), ("batch_size: 256", "batch_size: 240")]


@pytest.mark.parametrize(
    "words",
    [
        "resnet50, batch_norm: ghost, ghost_size: 24",
        "resnet50, batch_norm: sync, zero_gamma: false",
        "resnet20, batch_norm: group, bn_groups: 2",
        "my_own, batch_norm: group, bn_groups: 1, dropout: 0.1",
        "cnn2, dropout: 0.0",
        "lenet5, batch_norm: plain",
    ],
)
def test_words_that_go_together(runs, words):
    (run,) = runs(replace=_model(words))
    for word in words.split(", ")[1:]:
        key, value = word.split(": ")
        assert str(run.spec["model"][key]).lower() == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("resnet20, batch_norm: ghost", "model.ghost_size: missing; batch_norm ghost needs it"),
        (
            "resnet20, ghost_size: 8",
            "model.ghost_size: for batch_norm ghost, and this is plain; leave it out",
        ),
        ("resnet20, batch_norm: group", "model.bn_groups: missing; batch_norm group needs it"),
        (
            "resnet20, batch_norm: sync, bn_groups: 2",
            "model.bn_groups: for batch_norm group, and this is sync",
        ),
        (
            "resnet20, batch_norm: ghost, ghost_size: 32",
            "model.ghost_size: 32 does not divide the groups of 120 examples; 1, 2, 3, 4, 5, 6, 8, 10, 12, "
            "15, 20, 24, 30, 40, 60 or 120 would do, or other recipe.groups",
        ),
        (
            "resnet20, batch_norm: group, bn_groups: 3",
            "model.bn_groups: blocks of 3 groups do not divide the 2 groups; bn_groups 1 or 2 would do",
        ),
        ("resnet20, batch_norm: ghost, ghost_size: 0", "model.ghost_size: found 0; a number >= 1 is needed"),
        ("lenet5, batch_norm: sync", "model.batch_norm: lenet5 has no batch normalization; leave it out"),
        ("lenet5, zero_gamma: true", "model.zero_gamma: lenet5 has no residual branches; leave it out"),
        ("resnet20, dropout: 0.1", "model.dropout: resnet20 has no dropout; leave it out"),
        ("cnn2, dropout: 1", "model.dropout: found 1; a number < 1 is needed"),
    ],
)
def test_words_that_do_not_go_together_name_key_and_line(runs, words, message):
    with pytest.raises(StudyError) as caught:
        runs(replace=_model(words))
    assert str(caught.value).startswith("study.yaml:3: ") and message in str(caught.value)


def test_an_axis_is_named_by_its_own_line(runs):
    with pytest.raises(StudyError, match=r"study.yaml:14: model.ghost_size: 16 does not divide"):
        runs("axes:\n  model.ghost_size: [24, 16]\n", replace=_model("resnet20, batch_norm: ghost"))


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("  sam: {}\n", "recipe.sam"),
        ("  noise: {activations: 0.1}\n", "recipe.noise.activations"),
        ("measure: [noise_scale]\n", "measure: noise_scale"),
    ],
)
def test_what_needs_every_group_apart_is_refused_where_they_are_joined(runs, more, what):
    words = "resnet20, batch_norm: ghost, ghost_size: 24"
    runs(more, replace=_model(words))
    with pytest.raises(StudyError, match=f"study.yaml:3: model.batch_norm: sync joins groups that {what}"):
        runs(more, replace=_model("resnet20, batch_norm: sync"))


def test_what_is_as_by_default_does_not_enter_the_id(runs):
    plain, *others = (
        runs(replace=_model(f"resnet20{words}"))[0].run_id
        for words in (
            "",
            ", batch_norm: plain, zero_gamma: null, dropout: null, ghost_size: null, bn_groups: null",
            ", batch_norm: sync",
            ", zero_gamma: false",
            ", zero_gamma: true",
            ", batch_norm: ghost, ghost_size: 24",
            ", batch_norm: ghost, ghost_size: 60",
        )
    )
    assert others[0] == plain
    assert len({plain, *others[1:]}) == 6


def test_blocks_lie_in_a_rank_or_are_made_of_ranks():
    """12 groups of 5; checked against what lies where, written out for every number of workers."""
    for workers in (1, 2, 3, 4, 6, 12):
        batch, own = Batch(60, 12, workers), 12 // workers
        assert span({"batch_norm": "plain"}, batch) == Span(1, 1)
        assert span({"batch_norm": "ghost", "ghost_size": 5}, batch) == Span(1, 1)
        assert span({"batch_norm": "sync"}, batch) == Span(own, workers)
        for block in (1, 2, 3, 4, 6, 12):
            homes = [{group // own for group in range(start, start + block)} for start in range(0, 12, block)]
            inside = all(len(ranks) == 1 for ranks in homes)
            whole = all(len(ranks) * own == block for ranks in homes)
            words = {"batch_norm": "group", "bn_groups": block}
            assert normalized_examples(words, batch) == 5 * block
            if inside or whole:
                found = span(words, batch)
                assert found.groups * found.ranks == block
                assert found.ranks == (1 if inside else len(homes[0]))
            else:
                with pytest.raises(RecipeError, match=f"not {workers}") as caught:
                    span(words, batch)
                assert "workers can share them" in str(caught.value)


def test_numbers_of_workers_that_would_do_are_named():
    with pytest.raises(RecipeError, match="with 12 groups, 1, 2, 3, 6 or 12 workers can share them, not 4"):
        span({"batch_norm": "group", "bn_groups": 2}, Batch(60, 12, 4))

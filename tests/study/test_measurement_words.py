"""The `measure` list of a study: words and mappings, what it adds to a run's id, what a recipe must have."""

from __future__ import annotations

import pytest

from horovod_lb.errors import StudyError


def test_a_word_stands_for_its_defaults(runs):
    (word,) = runs("measure: [distance, noise_scale]\n")
    (mapping,) = runs("measure: [{kind: noise_scale, decay: 0.99}, {kind: distance, every_steps: 1}]\n")
    (other,) = runs("measure: [{kind: noise_scale, decay: 0.9}, distance]\n")
    assert word.spec["measure"] == [
        {"kind": "distance", "every_steps": 1, "by_step": False},
        {"kind": "noise_scale", "decay": 0.99},
    ]
    assert word.run_id == mapping.run_id != other.run_id
    assert other.spec["measure"][0] == {"kind": "noise_scale", "decay": 0.9}


def test_measuring_makes_another_run(runs):
    ids = {
        runs(text)[0].run_id
        for text in ("", "measure: []\n", "measure: [hessian]\n", "measure: [distance]\n")
    }
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (
            "[noise_scal]",
            "study.yaml:13: measure[0].kind: found 'noise_scal'; allowed: noise_scale, distance, "
            "sharpness, hessian, signal_to_noise, trust_ratios; did you mean noise_scale?",
        ),
        ("[distance, {kind: sharpness, epsilon: 0}]", "measure[1].epsilon: found 0; a number > 0 is needed"),
        (
            "[{kind: sharpness, epsilom: 1}]",
            "measure[0].epsilom: unknown key; allowed here: every_epochs, examples, "
            "mode, kind, epsilon, subspace, iterations, rho, rho_steps; did you mean measure[0].epsilon?",
        ),
        ("[distance, distance]", "distance is in it 2 times; once is needed"),
        ("[{kind: distance}, {kind: distance, every_steps: 2}]", "distance is in it 2 times"),
        ("[3]", "measure[0]: found 3; a mapping {key: value} is needed"),
        (
            "[trust_ratios]",
            "study.yaml:13: measure: trust_ratios: momentum has none; use lars, lamb or `layerwise`, "
            "or leave it out",
        ),
    ],
)
def test_what_is_wrong_is_said(runs, measure, message):
    with pytest.raises(StudyError) as error:
        runs(f"measure: {measure}\n")
    assert message in str(error.value)


def test_trust_ratios_of_every_optimizer_that_has_them(runs):
    for optimizer in ("{kind: lars}", "{kind: lamb}", "{kind: adam, layerwise: {max: 10}}"):
        (run,) = runs("measure: [trust_ratios]\n", overrides=[f"recipe.optimizer={optimizer}"])
        assert run.spec["measure"] == [{"kind": "trust_ratios", "every_steps": 1, "by_step": False}]

"""What is said about a study file that does not hold together: the exact text."""

from __future__ import annotations

import pytest

from horovod_lb.errors import StudyError
from horovod_lb.study import load_study


@pytest.fixture
def error(runs):
    """The message of a study changed in this way."""

    def message(more="", **changes):
        with pytest.raises(StudyError) as caught:
            runs(more, **changes)
        assert caught.value.exit_code == 2
        return str(caught.value)

    return message


ONE_LINE = [
    (  # unknown keys
        [("  batch_size: 256\n", "  bach_size: 256\n  batch_size: 256\n")],
        "study.yaml:8: recipe.bach_size: unknown key; allowed here: "
        "batch_size, groups, epochs, budget, remainder, reference, scaling, warmup, schedule, optimizer, "
        "sam, weight_decay, noise, ema, label_smoothing, clip_global_norm, precision, loss_scale, "
        "communication; "
        "did you mean recipe.batch_size?",
    ),
    (
        [("workers: 2", "workers: 2, warmup: 5")],
        "study.yaml:5: resources.warmup: unknown key; allowed here: workers, walltime; "
        "did you mean recipe.warmup?",
    ),
    (
        [("factor: 0.1", "power: 2")],
        "study.yaml:12: recipe.schedule.power: unknown key; allowed here: kind, epochs, factor, anchor",
    ),
    (
        [("{epochs: 5}", "{epochs: 5, <<: 1}")],
        "study.yaml:11: recipe.warmup.<<: unknown key; allowed here: kind, epochs, steps, start",
    ),
    # wrong types
    (
        [("batch_size: 256\n", "batch_size: many\n")],
        "study.yaml:8: recipe.batch_size: found 'many'; a whole number is needed",
    ),
    (
        [("batch_size: 256\n", "batch_size: 256.5\n")],
        "study.yaml:8: recipe.batch_size: found 256.5; a whole number is needed",
    ),
    (
        [("batch_size: 256\n", "batch_size: true\n")],
        "study.yaml:8: recipe.batch_size: found true; a whole number is needed",
    ),
    (
        [("batch_size: 256\n", "batch_size: 0\n")],
        "study.yaml:8: recipe.batch_size: found 0; a number >= 1 is needed",
    ),
    (
        [("epochs: 30", "epochs: '30'")],
        "study.yaml:7: recipe.epochs: found '30'; a number is needed",
    ),
    ([("epochs: 30", "epochs: -1")], "study.yaml:7: recipe.epochs: found -1; a number > 0 is needed"),
    (
        [("  epochs: 30\n", "  epochs: 30\n  noise: {labels: 2}\n")],
        "study.yaml:8: recipe.noise.labels: found 2; a number <= 1 is needed",
    ),
    (
        [("{name: custom, examples: 60000}", "{name: imagenet, first_label: 2}")],
        "study.yaml:4: data.first_label: found 2; allowed: 0, 1",
    ),
    ([("epochs: 30", "epochs: .inf")], "study.yaml:7: recipe.epochs: found inf; a finite number is needed"),
    (
        [("factor: 0.1", "factor: 0")],
        "study.yaml:12: recipe.schedule.factor: found 0; a number > 0 is needed",
    ),
    (
        [("[15, 25]", "15")],
        "study.yaml:12: recipe.schedule.epochs: found 15; a list [...] is needed",
    ),
    (
        [("[15, 25]", "[15, late]")],
        "study.yaml:12: recipe.schedule.epochs[1]: found 'late'; a number is needed",
    ),
    (
        [("{name: lenet5}", "lenet5")],
        "study.yaml:3: model: found 'lenet5'; a mapping {key: value} is needed",
    ),
    (
        [("{name: lenet5}", "{name: lenet5, zero_gamma: yes}")],
        "study.yaml:3: model.zero_gamma: found 'yes'; true or false is needed",
    ),
    (
        [("{epochs: 5}", "{epochs: 5, start: warm}")],
        "study.yaml:11: recipe.warmup.start: found 'warm'; reference, zero, per_worker or a number >= 0 "
        "is needed",
    ),
    (
        [("{epochs: 5}", "{epochs: 5, steps: 7}")],
        "study.yaml:11: recipe.warmup: found {'epochs': 5, 'steps': 7}; give the length in epochs or in "
        "steps, not both",
    ),
    (
        [("epochs: 30", "budget: {steps: 3, epochs: 2}")],
        "study.yaml:7: recipe.budget: found {'steps': 3, 'epochs': 2}; either {steps: n} or {like_batch: b, "
        "epochs: e} is needed",
    ),
    (
        [("workers: 2", "workers: 2, walltime: 90")],
        "study.yaml:5: resources.walltime: found 90; text is needed",
    ),
    (
        [("workers: 2", "workers: 2, walltime: '90'")],
        "study.yaml:5: resources.walltime: found '90'; hours and minutes are needed, as in \"2:00\"",
    ),
    # missing keys
    ([("  batch_size: 256\n", "")], "study.yaml:6: recipe.batch_size: missing; it must be given"),
    ([("job: train.py\n", "")], "study.yaml:1: job: missing; it must be given"),
    (
        [("kind: step, ", "")],
        "study.yaml:12: recipe.schedule.kind: missing; it must be given, for it decides which keys there are "
        "beside it",
    ),
    # values
    (
        [("scaling: linear", "scaling: lineer")],
        "study.yaml:10: recipe.scaling: found 'lineer'; allowed: none, linear, sqrt, legw, per_worker; "
        "did you mean linear?",
    ),
    (
        [("scaling: linear", "precision: float8")],
        "study.yaml:10: recipe.precision: found 'float8'; allowed: float32, bfloat16, float16; "
        "did you mean float32?",
    ),
    # of later versions
    # sharpness-aware minimization
    (
        [("scaling: linear", "sam: {rho: -0.1}")],
        "study.yaml:10: recipe.sam.rho: found -0.1; a number >= 0 is needed",
    ),
    (
        [("scaling: linear", "sam: {group: all}")],
        "study.yaml:10: recipe.sam.group: found 'all'; worker, global or a whole number >= 1 is needed",
    ),
    (
        [("scaling: linear", "groups: 4\n  sam: {group: 3}")],
        "study.yaml:11: recipe.sam.group: 3 groups that share a perturbation do not divide the 4 groups; "
        "recipe.sam.group must divide recipe.groups, or be worker or global",
    ),
    (
        [("scaling: linear", "sam: {decay_at: w_epsilon}")],
        "study.yaml:10: recipe.sam.decay_at: found 'w_epsilon'; allowed: none, w, w_eps; did you mean w_eps?",
    ),
    (
        [("scaling: linear", "sam: {decay_at: none}\n  weight_decay: {value: 0.1, kind: decoupled}")],
        "study.yaml:10: recipe.sam.decay_at: none is for a decay in the loss; this one is the optimizer's, "
        "which takes it at w: w is needed",
    ),
    (
        [("scaling: linear", "optimizer: {kind: adam, momentum: 0.9}")],
        "study.yaml:10: recipe.optimizer.momentum: unknown key; allowed here: kind, beta_1, beta_2, epsilon, "
        "layerwise",
    ),
    # optimizers
    (
        [("scaling: linear", "optimizer: {kind: larz}")],
        "study.yaml:10: recipe.optimizer.kind: found 'larz'; allowed: momentum, sgd, adam, adamw, rmsprop, "
        "adagrad, lars, lamb; did you mean lars?",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lars, norm: max}")],
        "study.yaml:10: recipe.optimizer.norm: found 'max'; allowed: sum, joint",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lars, coefficient: 0}")],
        "study.yaml:10: recipe.optimizer.coefficient: found 0; a number > 0 is needed",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lars, layerwise: {max: 1}}")],
        "study.yaml:10: recipe.optimizer.layerwise: unknown key; allowed here: kind, momentum, nesterov, "
        "correction, coefficient, norm, epsilon, min_ratio, max_ratio, exclude",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lars, exclude: [kernel]}")],
        "study.yaml:10: recipe.optimizer.exclude[0]: found 'kernel'; allowed: bias, normalization, vectors",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lamb, min_ratio: 2, max_ratio: 1}")],
        "study.yaml:10: recipe.optimizer: found {'kind': 'lamb', 'min_ratio': 2, 'max_ratio': 1}; "
        "max_ratio must not be below min_ratio",
    ),
    (
        [("scaling: linear", "optimizer: {kind: lamb, min_norm: 2, max_norm: 1}")],
        "study.yaml:10: recipe.optimizer: found {'kind': 'lamb', 'min_norm': 2, 'max_norm': 1}; "
        "max_norm must not be below min_norm",
    ),
    (
        [("scaling: linear", "optimizer: {kind: adam, layerwise: {on: weights}}")],
        "study.yaml:10: recipe.optimizer.layerwise.on: found 'weights'; allowed: gradient, update",
    ),
    (
        [("scaling: linear", "optimizer: {kind: adam, layerwise: {min: 2, max: 1}}")],
        "study.yaml:10: recipe.optimizer.layerwise: found {'min': 2, 'max': 1}; max must not be below min",
    ),
    (
        [
            (
                "scaling: linear",
                "optimizer: {kind: lars}\n  weight_decay: {value: 0.1, kind: decoupled}\n  scaling: linear",
            )
        ],
        "study.yaml:11: recipe.weight_decay.kind: 'decoupled' is not for lars, whose decay stands inside its "
        "trust ratio; l2 is",
    ),
    (
        [("kind: step, epochs: [15, 25], factor: 0.1", "kind: cosines")],
        "study.yaml:12: recipe.schedule.kind: found 'cosines'; allowed: constant, step, polynomial, cosine, "
        "cosine_restarts, cyclical, exponential; did you mean cosine?",
    ),
    (
        [("kind: step, epochs: [15, 25], factor: 0.1", "kind: cyclical, low: 2, high: 1, cycle_epochs: 3")],
        "study.yaml:12: recipe.schedule: found {'kind': 'cyclical', 'low': 2, 'high': 1, "
        "'cycle_epochs': 3}; low must be below high",
    ),
    (
        [("lenet5", "lenet5, batch_norm: gost")],
        "study.yaml:3: model.batch_norm: found 'gost'; allowed: plain, ghost, sync, group; "
        "did you mean ghost?",
    ),
    (
        [("name: custom, examples: 60000", "name: image-net")],
        "study.yaml:4: data.name: found 'image-net'; "
        "allowed: digits, mnist, cifar10, imagenet, idx, synthetic, custom; did you mean imagenet?",
    ),
    (
        [("job: train.py\n", "job: train.py\nmeasure: [noise_scale]\n"), ("workers: 2", "workers: 1")],
        "study.yaml:3: measure: noise_scale compares the gradients of at least 2 groups of a batch, and the "
        "recipe has 1; set recipe.groups, or leave noise_scale out",
    ),
    # recipes without a meaning
    (
        [("batch_size: 256\n", "batch_size: 257\n")],
        "study.yaml:8: recipe.batch_size: 257 does not divide into 2 groups; batch_size 256 or 258 would, "
        "or groups 1 or 257",
    ),
    (
        [("batch_size: 256\n", "batch_size: 256\n  groups: 1\n")],
        "study.yaml:9: recipe.groups: 1 groups cannot be dealt evenly to 2 workers; workers 1 would do, "
        "or groups 2",
    ),
    (
        [("{epochs: 5}", "{epochs: 31}")],
        "study.yaml:11: recipe.warmup.epochs: 31 epochs of warmup are longer than the training of 30 epochs; "
        "give at most 30",
    ),
    (
        [("epochs: 30", "remainder: drop")],
        "study.yaml:6: recipe.epochs: give either epochs or budget, one of the two",
    ),
    (
        [("name: custom, examples: 60000", "name: mnist, holdout: 60000")],
        "study.yaml:4: data.holdout: 60,000 leaves nothing to train on; mnist has 60,000 training examples",
    ),
    (
        [("{batch_size: 256, learning_rate: 0.1}", "{learning_rate: 0.1}")],
        "study.yaml:9: recipe.reference.batch_size: scaling linear needs the batch size that "
        "reference.learning_rate was tuned for",
    ),
    # names
    (
        [("name: tiny", "name: ../tiny")],
        "study.yaml:1: name: found '../tiny'; allowed are lower-case letters, digits and -, beginning with a "
        "letter or digit, at most 64 of them",
    ),
]


@pytest.mark.parametrize(("replace", "message"), ONE_LINE, ids=[text[:60] for _, text in ONE_LINE])
def test_message(error, replace, message):
    assert error(replace=replace) == message


@pytest.mark.parametrize(
    "name", ["a/b", "a b", "a;b", "$(a)", "`a`", "a|b", "-a", "A", "a\\tb", "é", "a" * 65, ""]
)
def test_names_that_a_shell_or_a_file_system_would_mind(error, name):
    assert "name: found" in error(replace=[("name: tiny", f'name: "{name}"')])


def test_several_errors_are_listed_together(error):
    message = error(
        "axes: {recipe.bach_size: [1]}\n",
        replace=[("epochs: 30", "epochs: x"), ("scaling: linear", "scalign: linear")],
    )
    lines = message.split("\n")
    assert lines[0] == "2 errors in study.yaml"
    assert lines[1] == "  study.yaml:7: recipe.epochs: found 'x'; a number is needed"
    assert lines[2].startswith("  study.yaml:10: recipe.scalign: unknown key; allowed here: ")


def test_axes(error):
    assert error("axes: {recipe.bach_size: [1]}\n").startswith(
        "study.yaml:13: axes: recipe.bach_size: unknown key; did you mean recipe.batch_size?"
    )
    assert error("axes: {checkpoint.keep: [1, 2]}\n") == (
        "study.yaml:13: axes: checkpoint.keep cannot differ between runs; "
        "keys of model, data, resources, recipe can"
    )
    assert error("axes:\n  recipe.batch_size: 512\n") == (
        "study.yaml:14: axes.recipe.batch_size: found 512; a list [...] is needed"
    )
    assert error("axes:\n  recipe.batch_size: []\n") == (
        "study.yaml:14: axes.recipe.batch_size: found []; at least one value is needed"
    )
    assert error("zip: {recipe.batch_size: [256, 512], recipe.epochs: [1, 2, 3]}\n") == (
        "study.yaml:13: zip: its lists must be equally long; recipe.batch_size has 2, recipe.epochs has 3"
    )
    assert error("axes: {recipe.epochs: [6, 7]}\ntuned: [recipe.epochs, recipe.batch_size]\n") == (
        "study.yaml:14: tuned: recipe.batch_size is not an axis; the axes are recipe.epochs"
    )
    assert error("axes: {recipe.epochs: [6]}\nzip: {recipe.epochs: [7]}\n") == (
        "study.yaml:14: zip: recipe.epochs is already in axes; keep one of them"
    )


def test_an_error_in_an_axis_value_names_its_line(error):
    assert error("axes:\n  recipe.batch_size:\n  - 256\n  - 257\n  - many\n") == (
        "2 errors in study.yaml\n"
        "  study.yaml:16: recipe.batch_size: 257 does not divide into 2 groups; batch_size 256 or 258 would, "
        "or groups 1 or 257\n"
        "  study.yaml:17: recipe.batch_size: found 'many'; a whole number is needed"
    )


def test_an_error_is_said_once_however_many_runs_have_it(error):
    message = error("axes:\n  recipe.batch_size: [257]\n  recipe.epochs: [10, 20, 30]\nseeds: [0, 1, 2]\n")
    assert message.count("257 does not divide") == 1


def test_nothing_left(error):
    assert error('axes: {recipe.batch_size: [256, 512]}\nexclude: ["recipe.batch_size > 0"]\n') == (
        "study.yaml:14: exclude: leaves no run, all 2 points are excluded"
    )


def test_exclude_expressions(error):
    assert error('exclude:\n- "recipe.batch_size >"\n').startswith(
        "study.yaml:14: exclude[0]: 'recipe.batch_size >' is not an expression; allowed are names"
    )
    assert error('exclude:\n- "recipe.bach_size > 1"\n') == (
        "study.yaml:14: exclude[0]: there is no 'recipe.bach_size'; did you mean recipe.batch_size?"
    )


def test_two_runs_with_one_id(error):
    message = error("axes: {recipe.batch_size: [256, 256.0]}\n")
    assert message.startswith("study.yaml: two runs have the id ")
    assert message.endswith(
        ", they would train the same: recipe.batch_size=256, seed=0 and recipe.batch_size=256, seed=0; "
        "remove one of them"
    )
    assert "seed=3 and seed=3" in error("seeds: [3, 4, 3]\n")


def test_duplicate_keys(error):
    assert error("seeds: [0]\nseeds: [1]\n") == (
        "study.yaml:14: seeds: written twice, in line 13 too; keep one of them"
    )


def test_job_that_does_not_exist(error, tmp_path):
    message = error(replace=[("train.py", "jobs/absent.py")])
    assert message.startswith(
        f"study.yaml:2: job: there is no script jobs/absent.py; looked from {tmp_path}, "
    )


def test_empty_files_and_other_documents(write):
    for text, message in (
        ("", "study.yaml: the file is empty; `hlb new` lists studies to begin with"),
        ("# only a remark\n", "study.yaml: the file is empty; `hlb new` lists studies to begin with"),
        ("- a\n- b\n", "study.yaml:1: a study is a mapping, `key: value` in each line"),
    ):
        with pytest.raises(StudyError) as caught:
            load_study(write(text=text))
        assert str(caught.value) == message
    with pytest.raises(StudyError, match=r"^absent.yaml: no such file$"):
        load_study("absent.yaml")


def test_environment(error, runs, monkeypatch):
    rooted = [("examples: 60000", "examples: 60000, root: ${HLB_TEST_ROOT}/mnist")]
    monkeypatch.delenv("HLB_TEST_ROOT", raising=False)
    assert error(replace=rooted) == (
        "study.yaml:4: data.root: the environment variable HLB_TEST_ROOT is not set; "
        "export HLB_TEST_ROOT=DIRECTORY or write the directory itself"
    )
    monkeypatch.setenv("HLB_TEST_ROOT", "/data $(rm -rf)")
    (run,) = runs(replace=rooted)
    assert run.spec["data"]["root"] == "/data $(rm -rf)/mnist"


def test_the_environment_is_for_the_root_alone(error, monkeypatch):
    monkeypatch.setenv("HLB_TEST_NAME", "tiny")
    assert "name: found '${HLB_TEST_NAME}'" in error(replace=[("name: tiny", "name: ${HLB_TEST_NAME}")])

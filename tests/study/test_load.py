"""Changes from the command line, the job script's place, the shipped studies."""

from __future__ import annotations

import pytest

from horovod_lb.errors import StudyError
from horovod_lb.study import expand, load_study
from horovod_lb.study.shipped import SHIPPED_JOBS, shipped_studies


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("recipe.epochs=8", ("recipe", "epochs"), 8),
        ("recipe.warmup.epochs = 1e0", ("recipe", "warmup", "epochs"), 1),
        ("recipe.precision=bfloat16", ("recipe", "precision"), "bfloat16"),
        ("recipe.clip_global_norm=null", ("recipe", "clip_global_norm"), None),
        (
            "recipe.communication.allreduce=rabenseifner",
            ("recipe", "communication", "allreduce"),
            "rabenseifner",
        ),
        ("recipe.schedule={kind: constant}", ("recipe", "schedule", "kind"), "constant"),
        ("recipe.schedule.epochs=[1, 2]", ("recipe", "schedule", "epochs"), [1, 2]),
        ("data.root=/a=b", ("data", "root"), "/a=b"),
    ],
)
def test_set(runs, override, path, value):
    (run,) = runs(overrides=[override])
    found = run.spec
    for part in path:
        found = found[part]
    assert found == value


def test_set_of_axes_and_seeds(runs):
    found = runs(
        "axes: {recipe.batch_size: [256]}\n", overrides=["axes.recipe.batch_size=[512, 1024]", "seeds=[4, 5]"]
    )
    assert [(run.point["recipe.batch_size"], run.seed) for run in found] == [
        (512, 4),
        (512, 5),
        (1024, 4),
        (1024, 5),
    ]


def test_set_gives_the_id_of_the_same_file(runs):
    (option,) = runs(overrides=["recipe.batch_size=512"])
    (file,) = runs(replace=[("batch_size: 256\n", "batch_size: 512\n")])
    assert option.run_id == file.run_id


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.epochs", "--set recipe.epochs: KEY=VALUE is needed, as in recipe.epochs=3"),
        ("=3", "--set =3: KEY=VALUE is needed, as in recipe.epochs=3"),
        ("recipe..epochs=3", "--set recipe..epochs=3: KEY=VALUE is needed, as in recipe.epochs=3"),
        ("recipe.epochs=x", "--set recipe.epochs=x: recipe.epochs: found 'x'; a number is needed"),
        ("recipe.epochs=[3", "--set recipe.epochs=[3: not valid YAML: "),
        (
            "recipe.epoch=3",
            "--set recipe.epoch=3: recipe.epoch: unknown key; allowed here: ",
        ),
        ("name.first=x", "--set name.first=x: name in the study file has no keys below it"),
        (
            "recipe.warmup.epochs=40",
            "--set recipe.warmup.epochs=40: recipe.warmup.epochs: 40 epochs of warmup are longer",
        ),
        (
            "recipe.batch_size=512",
            "--set recipe.batch_size=512: recipe.batch_size is an axis of the study, which sets it in every "
            "run; change the axis, as in --set 'axes.recipe.batch_size=[512]', or choose runs with --where",
        ),
        (
            "axes.recipe.batch_size=512",
            "--set axes.recipe.batch_size=512: axes.recipe.batch_size: found 512; a list",
        ),
    ],
)
def test_messages_name_the_option(runs, override, message):
    with pytest.raises(StudyError) as caught:
        runs("axes: {recipe.batch_size: [256]}\n", overrides=[override])
    assert str(caught.value).startswith(message)


def test_the_job_beside_the_study_comes_first(write, tmp_path, monkeypatch):
    project = tmp_path / "project"
    folder = project / "studies" / "mine"
    elsewhere = tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir(parents=True)
    text = (tmp_path / write()).read_text()
    (folder / "s.yaml").write_text(text)
    (project / "setup.cfg").touch()
    monkeypatch.chdir(elsewhere)

    def found():
        return load_study(folder / "s.yaml").job_path

    (elsewhere / "train.py").touch()
    assert found() == elsewhere / "train.py"
    (project / "train.py").touch()
    assert found() == project / "train.py"
    (folder / "train.py").touch()
    assert found() == folder / "train.py"


def test_folders_above_a_study_that_are_no_project_are_not_searched(write, tmp_path, monkeypatch):
    """On a shared machine a folder above may be anybody's."""
    text = (tmp_path / write()).read_text()
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "s.yaml").write_text(text)
    monkeypatch.chdir(folder)
    assert (tmp_path / "train.py").exists()
    with pytest.raises(StudyError, match=r"there is no script train.py"):
        load_study("s.yaml")


def test_shipped_studies_are_valid_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies = shipped_studies()
    assert {"demo", "mnist-warmup"} <= set(studies)
    for name, path in studies.items():
        copy = tmp_path / f"{name}.yaml"
        copy.write_bytes(path.read_bytes())
        study = load_study(copy)
        assert study.name == name
        assert study.job_path.is_relative_to(SHIPPED_JOBS.resolve())
        runs = expand(study)
        assert runs
        assert path.read_text(encoding="utf-8").startswith("# ")
        assert [run.run_id for run in runs] == [run.run_id for run in expand(load_study(path))]

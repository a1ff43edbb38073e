from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from imagenet_sets import CLASSES, class_folders, file_bytes, picture
from typer.testing import CliRunner

from horovod_lb import data
from horovod_lb.cli.data import app
from horovod_lb.data.imagenet import example, manifest, records
from horovod_lb.data.imagenet.check import check
from horovod_lb.data.imagenet.prepare import prepare
from horovod_lb.errors import DataError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("folders"), train=8, val=2)


@pytest.fixture
def shards(folders: Path, tmp_path: Path) -> Path:
    prepare(folders, tmp_path / "shards", shards=4)
    return tmp_path / "shards"


def write_shard(path: Path, labels: list[int], image: bytes | None = None) -> None:
    """A shard as others make them, without a manifest beside it."""
    image = image or file_bytes(picture(1))
    parts = [
        records.framed(example.encoded({"image/encoded": image, "image/class/label": label}))
        for label in labels
    ]
    path.write_bytes(b"".join(parts))


def problems(root: Path, **options: object) -> list[str]:
    found = check(root, **options)  # type: ignore[arg-type]
    return [problem for part in found.values() for problem in part.problems]


def test_a_good_set(folders: Path, shards: Path) -> None:
    for root in (folders, shards):
        found = check(root)
        assert problems(root) == []
        assert found["train"].labels == {0: 8, 1: 8, 2: 8}
        assert found["validation"].labels == {0: 2, 1: 2, 2: 2}
    noted = sorted(check(folders)["train"].notes)
    assert [note.rpartition("/")[2] for note in noted] == [
        "n02_1.JPEG: is CMYK; it is converted when it is read",
        "n02_2.JPEG: is PNG; it is converted when it is read",
    ]
    assert check(shards)["train"].notes == []


def test_a_missing_shard(shards: Path) -> None:
    (shards / "train-00002-of-00004").unlink()
    assert problems(shards) == [f"{shards}: of 4 train shards 1 are missing: train-00002-of-00004"]
    with pytest.raises(DataError, match="train-00002-of-00004"):
        data.require({"name": "imagenet", "root": str(shards), "classes": 3})


def test_shards_of_two_sets(shards: Path) -> None:
    shutil.copy(shards / "train-00000-of-00004", shards / "train-00000-of-00007")
    assert problems(shards) == [f"{shards}: there are train shards of sets of 4 and 7; keep those of one set"]


def test_a_shard_cut_in_the_middle(shards: Path) -> None:
    path = shards / "train-00001-of-00004"
    size = path.stat().st_size
    last = records.scan(path)[-1]
    with path.open("r+b") as file:
        file.truncate(size - 100)
    said = (
        f"{path}: cut off: record 5 begins at byte {last:,} and needs {size - last:,} bytes, but the file "
        f"ends at byte {size - 100:,}. Get or prepare this shard anew"
    )
    assert problems(shards) == [said]
    with pytest.raises(DataError) as error:
        data.load({"name": "imagenet", "root": str(shards), "classes": 3})
    assert str(error.value) == said


def test_a_flipped_bit(shards: Path) -> None:
    path = shards / "train-00001-of-00004"
    content = bytearray(path.read_bytes())
    content[records.scan(path)[2] + 200] ^= 1
    path.write_bytes(content)
    assert problems(shards) == [
        f"{path}: record 2 has a wrong checksum: the file is damaged",
        f"{path}: its SHA-256 is not that in manifest.json: it was changed",
    ]
    assert problems(shards, decode=False) == []


def test_labels_out_of_range(tmp_path: Path) -> None:
    """Label 0 is the background class of the standard converters; others count from 0."""
    write_shard(tmp_path / "train-00000-of-00001", [0, 1, 3, 4])
    write_shard(tmp_path / "validation-00000-of-00001", [1])
    where = f"{tmp_path / 'train-00000-of-00001'}: record"
    hint = "is `data.classes` or `data.first_label` of the study right?"
    assert problems(tmp_path, classes=3) == [
        f"{where} 0 has the label 0, which is not between 1 and 3; {hint}",
        f"{where} 3 has the label 4, which is not between 1 and 3; {hint}",
    ]
    assert problems(tmp_path, classes=5, first_label=0) == []


def test_undecodable_pictures_are_listed_and_not_fatal(folders: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folders, tmp_path / "copy")
    cut, text = root / "train" / "n01" / "n01_3.JPEG", root / "val" / "n03" / "n03_0.JPEG"
    cut.write_bytes(cut.read_bytes()[:-200])
    text.write_bytes(b"<html>not found</html>")
    found = problems(root)
    assert len(found) == 2
    assert found[0].startswith(f"{cut}: cannot be decoded (") and found[1].startswith(
        f"{text}: cannot be decoded ("
    )
    assert check(root)["train"].examples == 24
    write_shard(tmp_path / "train-00000-of-00001", [1], cut.read_bytes())
    write_shard(tmp_path / "validation-00000-of-00001", [1])
    (only,) = problems(tmp_path, classes=3)
    assert only.startswith(f"{tmp_path / 'train-00000-of-00001'}: record 0 cannot be decoded (")


def test_an_empty_class_folder(folders: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folders, tmp_path / "copy")
    for path in (root / "train" / "n02").iterdir():
        path.unlink()
    (only,) = problems(root)
    assert only.startswith(f"{root / 'train' / 'n02'}: the class folder holds no picture")


def test_a_record_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001"
    nameless = example.encoded({"image/class/label": 1})
    path.write_bytes(records.framed(b"no message") + records.framed(nameless))
    write_shard(tmp_path / "validation-00000-of-00001", [1])
    assert problems(tmp_path) == [
        f"{path}: record 0 is not a tf.train.Example",
        f"{path}: record 1 has no feature image/encoded",
    ]


def test_a_preparation_that_was_stopped(folders: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 12:
            raise StopError

    with pytest.raises(StopError):
        prepare(folders, tmp_path, shards=4, progress=stop)
    assert f"{tmp_path}: 2 of 5 shards are prepared; run `hlb data prepare` again" in problems(tmp_path)


class TestCommand:
    """`hlb data check`."""

    def check(self, *arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["check", *map(str, arguments), "--jobs", "1"])
        return result.exit_code, result.stdout, result.stderr

    def test_good(self, shards: Path) -> None:
        code, out, err = self.check("imagenet", "--root", shards)
        assert (code, err) == (0, "")
        assert out == (
            "train: 24 examples of 3 classes, 8 to 8 of each\n"
            "validation: 6 examples of 3 classes, 2 to 2 of each\n"
        )
        assert self.check("imagenet", "--root", shards, "--quick")[1] == (
            "train: 24 examples\nvalidation: 6 examples\n"
        )

    def test_bad(self, shards: Path) -> None:
        (shards / "validation-00000-of-00001").unlink()
        code, out, err = self.check("imagenet", "--root", shards)
        assert code == 1
        assert "neither shards nor class folders for validation" in err and "1 problem\n" in err
        assert "train: 24 examples of 3 classes" in out

    def test_a_study(self, shards: Path, tmp_path: Path) -> None:
        study = tmp_path / "study.yaml"
        (tmp_path / "job.py").write_text("")
        text = (
            "name: s\njob: job.py\nmodel: {name: any}\n"
            f"data: {{name: imagenet, root: {shards}, classes: 3, examples: 25, val_examples: 6}}\n"
            "recipe: {batch_size: 2, epochs: 1, reference: {learning_rate: 0.1}}\n"
        )
        study.write_text(text)
        code, _, err = self.check(study)
        assert code == 1 and "train: 24 examples, the study stands for 25" in err
        study.write_text(text.replace(", examples: 25, val_examples: 6", ""))
        assert self.check(study)[0] == 0

    def test_another_set(self) -> None:
        assert self.check("digits")[:2] == (
            0,
            "digits: 1,440 training examples, 357 validation examples, 10 classes: whole, and as published\n",
        )

    def test_a_set_that_nobody_has_published(self, tmp_path: Path) -> None:
        study = tmp_path / "study.yaml"
        (tmp_path / "job.py").write_text("")
        study.write_text(
            "name: s\njob: job.py\nmodel: {name: any}\n"
            "data: {name: synthetic, shape: [4, 4, 1], classes: 3, examples: 20, val_examples: 6}\n"
            "recipe: {batch_size: 2, epochs: 1, reference: {learning_rate: 0.1}}\n"
        )
        code, out, _ = self.check(study)
        assert (code, out) == (
            0,
            "synthetic: 20 training examples, 6 validation examples, 3 classes: whole\n",
        )

    def test_an_unknown_set(self) -> None:
        result = CliRunner().invoke(app, ["check", "imagenot"])
        said = str(result.exception)
        assert "imagenot is neither a study file nor one of the data sets digits, mnist" in said
        assert said.endswith("did you mean imagenet?")


class TestDescribe:
    """What a study's section stands for, on a login node."""

    def test_the_published_set_is_known_without_its_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HLB_DATA", raising=False)
        info = data.describe({"name": "imagenet"})
        assert (info.train_examples, info.val_examples, info.test_examples) == (1_281_167, 50_000, 0)
        assert (info.classes, info.shape) == (1000, (224, 224, 3))
        held = data.describe(
            {"name": "imagenet", "holdout": 10_000, "image_size": 160, "root": "/nowhere/at/all"}
        )
        assert (held.train_examples, held.val_examples, held.test_examples) == (1_271_167, 10_000, 50_000)
        assert held.shape == (160, 160, 3)

    def test_a_subset_has_the_sizes_of_its_manifest(self, shards: Path, folders: Path) -> None:
        for root in (shards, folders):
            info = data.describe({"name": "imagenet", "root": str(root), "classes": 3})
            assert (info.train_examples, info.val_examples, info.classes) == (24, 6, 3)
            with pytest.raises(DataError, match="it has 3 classes; write `classes: 3`"):
                data.describe({"name": "imagenet", "root": str(root)})
        assert manifest.read(shards).complete  # type: ignore[union-attr]

    def test_a_subset_of_nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HLB_DATA", raising=False)
        with pytest.raises(DataError, match="a set of 10 classes has no published size; write `examples`"):
            data.describe({"name": "imagenet", "classes": 10})
        stated = data.describe({"name": "imagenet", "classes": 10, "examples": 1200, "val_examples": 400})
        assert (stated.train_examples, stated.val_examples) == (1200, 400)

    def test_planning_imports_neither_tensorflow_nor_numpy(self) -> None:
        import subprocess
        import sys

        code = (
            "import sys; from horovod_lb import data; data.describe({'name': 'imagenet'}); "
            "assert not {'tensorflow', 'numpy', 'PIL', 'google_crc32c'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_sizes_that_are_not_so(self, shards: Path) -> None:
        section = {"name": "imagenet", "root": str(shards), "classes": 3, "examples": 23}
        with pytest.raises(DataError, match="24 train examples, not 23"):
            data.load(section)


def test_labels_follow_the_sorted_names_of_the_classes(folders: Path) -> None:
    from horovod_lb.data.imagenet.source import open_part

    source = open_part(folders, "train", 3)
    for number in range(len(source)):
        assert f"/{CLASSES[source.read(number)[1]]}/" in source.where(number)

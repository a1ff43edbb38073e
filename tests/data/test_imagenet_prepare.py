from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagenet_sets import CLASSES, class_folders, file_bytes, picture, shard_bytes

from horovod_lb.data.imagenet import layout, manifest
from horovod_lb.data.imagenet.check import check
from horovod_lb.data.imagenet.prepare import PreparationError, prepare
from horovod_lb.errors import DataError

SHARDS = 6  # of training, and one of validation


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    prepare(source, out, shards=SHARDS)
    return out


def hlb(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "horovod_lb.cli.main", "data", *map(str, arguments)]


def test_tensorflow_reads_the_shards(source: Path, whole: Path) -> None:
    """Every picture once, its bytes as they were, the fields of the standard converters."""
    tf = pytest.importorskip("tensorflow")
    fields = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/class/synset": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/format": tf.io.FixedLenFeature([], tf.string),
        "image/colorspace": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
    }
    for part, folder, total in (("train", "train", SHARDS), ("validation", "val", 1)):
        names = [str(whole / f"{part}-{number:05}-of-{total:05}") for number in range(total)]
        seen = set()
        for record in tf.data.TFRecordDataset(names):
            one = {key: value.numpy() for key, value in tf.io.parse_single_example(record, fields).items()}
            synset, name = one["image/class/synset"].decode(), one["image/filename"].decode()
            assert one["image/class/label"] == 1 + CLASSES.index(synset)
            assert (one["image/format"], one["image/colorspace"]) == (b"JPEG", b"RGB")
            assert tf.io.decode_jpeg(one["image/encoded"], channels=3).shape == (
                one["image/height"],
                one["image/width"],
                3,
            )
            if name not in ("n02_1.JPEG", "n02_2.JPEG") or folder == "val":
                assert one["image/encoded"] == (source / folder / synset / name).read_bytes()
            seen.add((synset, name))
        assert seen == {(path.parent.name, path.name) for path in (source / folder).glob("*/*")}


def test_what_had_to_be_converted_is_in_the_manifest(whole: Path) -> None:
    found = manifest.read(whole)
    assert found is not None and found.complete and found.classes == list(CLASSES)
    assert (found.examples("train"), found.examples("validation")) == (60, 12)
    converted = sorted(tuple(one) for shard in found.shards.values() for one in shard.converted)
    assert converted == [("train/n02/n02_1.JPEG", "CMYK"), ("train/n02/n02_2.JPEG", "PNG")]


def test_processes_make_the_same_bytes(source: Path, whole: Path, tmp_path: Path) -> None:
    command = hlb("prepare", "imagenet", "--from", source, "--out", tmp_path, "--shards", SHARDS, "--jobs", 2)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "60 train examples in 6 shards, 12 validation examples in 1 shards" in done.stdout
    assert "converted from CMYK: train/n02/n02_1.JPEG" in done.stdout
    assert shard_bytes(tmp_path) == shard_bytes(whole)


@pytest.mark.parametrize("done", [1, 3, 5])
def test_killed_and_run_again(source: Path, whole: Path, tmp_path: Path, done: int) -> None:
    """SIGKILL once so many shards are whole; what a killed process leaves in the folder is no shard."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from horovod_lb.data.imagenet.prepare import prepare\n"
        "def kill(pictures, total):\n"
        f"    if pictures >= {done * 10}: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"prepare(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), shards={SHARDS}, progress=kill)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, source, tmp_path], timeout=300)
    assert killed.returncode == -9
    assert len(layout_names(tmp_path)) == done
    cut = tmp_path / ".train-00005-of-00006.12345.tmp"
    cut.write_bytes((whole / "train-00005-of-00006").read_bytes()[:500])
    prepare(source, tmp_path, shards=SHARDS)
    assert shard_bytes(tmp_path) == shard_bytes(whole)
    assert not cut.exists()


def test_what_is_whole_is_not_made_again(source: Path, whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "out")
    kept = out / "train-00001-of-00006"
    os.utime(kept, (1, 1))
    (out / "train-00002-of-00006").unlink()
    with (out / "train-00003-of-00006").open("r+b") as file:
        file.truncate(100)
    steps: list[tuple[int, int]] = []
    prepare(source, out, shards=SHARDS, progress=lambda *step: steps.append(step))
    assert steps == [(52, 72), (62, 72), (72, 72)]
    assert kept.stat().st_mtime == 1
    assert shard_bytes(out) == shard_bytes(whole)


def test_two_processes_and_one_folder(source: Path, whole: Path, tmp_path: Path) -> None:
    command = hlb("prepare", "imagenet", "--from", source, "--out", tmp_path, "--shards", SHARDS, "--jobs", 1)
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(2)]
    said = [process.communicate(timeout=300)[1].decode() for process in both]
    for process, text in zip(both, said, strict=True):
        assert process.returncode == 0 or "another process is preparing this folder" in text
    assert 0 in [process.returncode for process in both]
    assert shard_bytes(tmp_path) == shard_bytes(whole)


def test_the_second_process_is_told(source: Path, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(PreparationError, match="another process is preparing this folder"):
            prepare(source, tmp_path)
    finally:
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[list[str]]:
    """The beginning of a command that runs the rest with a disk of 64 KiB on `tmp_path`/disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=${{SIZE:-64k}} tmpfs {disk} && exec "$@"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let users mount a file system of their own (unshare)")
    yield unshare


def test_a_full_disk(source: Path, whole: Path, tmp_path: Path, small_disk: list[str]) -> None:
    """Nothing half-written is left; with room again the same command makes the rest."""
    disk = tmp_path / "disk"
    prepared = " ".join(hlb("prepare", "imagenet", "--from", source, "--out", disk, "--shards", SHARDS))
    script = (
        f"{prepared} --jobs 1; echo rc $?; ls -A {disk}; "
        f"mount -o remount,size=8m {disk}; {prepared} --jobs 1 && cp {disk}/* {tmp_path / 'kept'}"
    )
    (tmp_path / "kept").mkdir()
    done = subprocess.run([*small_disk, "sh", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "No space left on device. The shards that are whole are kept; free some space" in done.stderr
    first, _, left = done.stdout.partition("rc 1\n")
    assert first == ""
    assert ".tmp" not in left
    assert shard_bytes(tmp_path / "kept") == shard_bytes(whole)


def test_a_read_only_folder(source: Path, tmp_path: Path, small_disk: list[str]) -> None:
    command = hlb("prepare", "imagenet", "--from", source, "--out", tmp_path / "disk")
    script = f"mount -o remount,ro {tmp_path / 'disk'}; exec {' '.join(command)} --jobs 1"
    done = subprocess.run([*small_disk, "sh", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith(f"hlb: cannot use {tmp_path / 'disk'}")
    assert "Read-only file system" in done.stderr and "Traceback" not in done.stderr


def test_an_undecodable_picture_is_left_out(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "folders", train=4, val=1)
    picture_ = source / "train" / "n01" / "n01_2.JPEG"
    picture_.write_bytes(picture_.read_bytes()[:300])
    found = prepare(source, tmp_path / "out", shards=2)
    ((name, why),) = [one for shard in found.shards.values() for one in shard.left_out]
    assert name == "train/n01/n01_2.JPEG" and "cannot be decoded" in why
    assert found.examples("train") == 11
    assert not any(one.problems for one in check(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("empty class", "train/n02: the class folder holds no picture"),
        ("no val", "there is no folder validation or val with the validation pictures"),
        ("unknown class", "val: the class folder n99 is not one of those in"),
        ("nothing", "neither shards nor class folders for train; it is to hold the TFRecord shards"),
        ("gone", "folders: no such folder; it is to hold the TFRecord shards"),
    ],
)
def test_folders_that_are_not_right(tmp_path: Path, change: str, message: str) -> None:
    source = class_folders(tmp_path / "folders", train=3, val=1)
    if change == "empty class":
        for path in (source / "train" / "n02").iterdir():
            path.unlink()
    elif change == "no val":
        shutil.rmtree(source / "val")
    elif change == "unknown class":
        (source / "val" / "n99").mkdir()
    elif change == "gone":
        shutil.rmtree(source)
    else:
        shutil.rmtree(source / "train")
    with pytest.raises(DataError) as error:
        prepare(source, tmp_path / "out")
    assert message in str(error.value)


def test_another_set_is_not_mixed_in(source: Path, whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "out")
    other = class_folders(tmp_path / "other", train=19)
    with pytest.raises(DataError, match="it holds shards of other pictures than those in"):
        prepare(other, out, shards=SHARDS)
    with pytest.raises(DataError, match=r"it holds 6 training shards, not 3; give --shards 6"):
        prepare(source, out, shards=3)
    (out / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"it holds train-00000-of-00006, but no manifest.json"):
        prepare(source, out, shards=SHARDS)
    (out / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="it is no JSON"):
        prepare(source, out, shards=SHARDS)


def test_flat_validation_pictures(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "folders", train=2, val=1)
    shutil.rmtree(source / "val")
    (source / "val").mkdir()
    for number in range(3):
        (source / "val" / f"v{number}.JPEG").write_bytes(file_bytes(picture(number)))
    with pytest.raises(DataError, match=r"there is no val_labels\.txt"):
        layout.listing(source, "validation")
    for text in ("v0.JPEG n03\nv1.JPEG n01\nv2.JPEG n02\n", "n03\nn01\nn02\n"):
        (source / "val_labels.txt").write_text(text)
        assert layout.listing(source, "validation").labels == (2, 0, 1)
    (source / "val_labels.txt").write_text("n03\nn01\n")
    with pytest.raises(DataError, match="2 lines for 3 pictures"):
        layout.listing(source, "validation")
    (source / "val_labels.txt").write_text("n03\nn01\nn77\n")
    with pytest.raises(DataError, match=r"v2.JPEG has the class n77, which is no folder of train"):
        layout.listing(source, "validation")


def test_the_usual_number_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,281,167 and 50,000 pictures make 1,024 and 128 shards."""
    from horovod_lb.data.imagenet.prepare import PER_SHARD

    assert -(-1_281_167 // PER_SHARD["train"]) == 1024
    assert -(-50_000 // PER_SHARD["validation"]) == 128


def test_the_manifest_is_of_the_pictures_alone(whole: Path, tmp_path: Path) -> None:
    assert str(tmp_path.parent) not in (whole / "manifest.json").read_text()
    assert json.loads((whole / "manifest.json").read_text())["complete"] is True


def layout_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(("train-", "validation-"))]

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from imagenet_sets import class_folders, file_bytes, picture
from PIL import Image

from horovod_lb import data
from horovod_lb.data import feed
from horovod_lb.data.imagenet import crops, jpeg, source
from horovod_lb.data.imagenet.prepare import prepare
from horovod_lb.data.order import Order
from horovod_lb.data.portion import Portion
from horovod_lb.errors import DataError

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("folders"), train=10, val=3)


@pytest.fixture(scope="module")
def shards(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    prepare(folders, out, shards=3)
    return out


@pytest.fixture(scope="module")
def photographs() -> Path:
    """The real photographs, 1,200 and 400 of 10 classes."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("HLB_DATA") or beside) / "photos" / "imagenette-224"
    if not folder.is_dir():
        pytest.skip(f"set HLB_DATA to the folder with photos/imagenette-224: it is not at {folder}")
    return folder


def section(root: Path, **more: object) -> dict[str, object]:
    return {"name": "imagenet", "root": str(root), "classes": 3, "image_size": 32, **more}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float64)


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation by its definition, at the centers of the new pixels, without antialiasing."""

    def weights(new: int, old: int) -> np.ndarray:
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        return np.maximum(0, 1 - abs(at[:, None] - np.arange(old)))

    rows = np.tensordot(weights(height, image.shape[0]), image, 1)
    return np.tensordot(weights(width, image.shape[1]), rows, (1, 1)).transpose(1, 0, 2)


def test_training_sees_the_crop_of_the_photograph(folders: Path) -> None:
    """Within what JPEG decoders may differ by: a crop may be decoded without its surroundings."""
    train = data.load(section(folders), seed=5).train
    stored = source.open_part(folders, "train", 3)
    indices, epochs = np.arange(30), np.arange(30) % 4
    x, y = train.take(indices, epochs)
    assert x.shape == (30, 32, 32, 3) and x.dtype == np.uint8 and y.dtype == np.int64
    sizes = np.array([jpeg.frame(stored.read(index)[0])[:2] for index in indices])
    boxes, mirrored = crops.random_crops(sizes[:, 0], sizes[:, 1], 5, epochs, indices)
    assert 5 < mirrored.sum() < 25
    for index in indices:
        content, label = stored.read(index)
        top, left, height, width = boxes[index]
        crop = pixels(content)[top : top + height, left : left + width]
        expected = bilinear(crop[:, ::-1] if mirrored[index] else crop, 32, 32)
        assert y[index] == label
        assert abs(x[index] - expected).mean() < 2.0 and abs(x[index] - expected).max() < 16


def test_evaluation_sees_the_center(photographs: Path, tmp_path: Path) -> None:
    """The real photographs, some made larger and of another shape: resized to 256, the center 224 of it."""
    root = tmp_path / "set"
    for number, path in enumerate(sorted(photographs.glob("val/*/*"))[::40]):
        shape = [(224, 224), (500, 375), (333, 500), (90, 120)][number % 4]
        image = Image.open(path).convert("L" if number == 3 else "RGB").resize(shape)
        for part in ("train", "val"):
            (root / part / "n01").mkdir(parents=True, exist_ok=True)
            (root / part / "n01" / f"{number}.JPEG").write_bytes(file_bytes(image))
    found = data.load({"name": "imagenet", "root": str(root), "classes": 1})
    stored = source.open_part(root, "validation", 1)
    assert len(found.val) == 10
    for x in (found.val.take(np.arange(10))[0], found.train.take(np.arange(10), None)[0]):
        for index in range(10):
            image = pixels(stored.read(index)[0])
            height, width = image.shape[:2]
            shorter = min(height, width)
            resized = bilinear(image, round(height * 256 / shorter), round(width * 256 / shorter))
            top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
            expected = resized[top : top + 224, left : left + 224]
            assert abs(x[index] - expected).mean() < 0.6 and abs(x[index] - expected).max() < 6


def test_grey_cmyk_and_png(folders: Path, tmp_path: Path) -> None:
    """Each looks as Pillow shows it: grey in three equal channels."""
    stored = source.open_part(folders, "train", 3)
    plain = data.load(section(folders, augment="none"), seed=1).train
    seen = 0
    for index in range(len(stored)):
        path = Path(stored.where(index).rstrip(":"))
        if path.parent.name != "n02" or path.name not in ("n02_0.JPEG", "n02_1.JPEG", "n02_2.JPEG"):
            continue
        seen += 1
        image = pixels(path.read_bytes())
        height, width = image.shape[:2]
        shorter = min(height, width)
        resized = bilinear(image, round(height * 37 / shorter), round(width * 37 / shorter))
        top, left = (resized.shape[0] - 32) // 2, (resized.shape[1] - 32) // 2
        x = plain.take(np.array([index]), np.array([0]))[0][0]
        assert abs(x - resized[top : top + 32, left : left + 32]).mean() < 1.5
        if path.name == "n02_0.JPEG":
            assert (x == x[..., :1]).all()
    assert seen == 3


def test_shards_and_the_folders_they_are_of_are_one_set(folders: Path, shards: Path) -> None:
    a, b = data.load(section(folders), seed=2), data.load(section(shards), seed=2)
    indices = np.arange(30)
    for epoch in (0, 7):
        epochs = np.full(30, epoch)
        for one, other in zip(a.train.take(indices, epochs), b.train.take(indices, epochs), strict=True):
            assert (one == other).all()
    for one, other in zip(a.val.take(np.arange(9)), b.val.take(np.arange(9)), strict=True):
        assert (one == other).all()


def test_pixels_do_not_depend_on_ranks_batches_or_what_came_before(shards: Path) -> None:
    train = data.load(section(shards), seed=3).train
    order = Order(30, 8, "continuous", seed=3)
    whole = {}
    for step, (x, y) in enumerate(feed.stream(train, Portion(order, 8, 1, 0).requests(0, 6))):
        whole[step] = x, y
    for ranks in (2, 4):
        parts = [
            list(feed.stream(train, Portion(order, 8, ranks, rank).requests(2, 6))) for rank in range(ranks)
        ]
        for step in range(2, 6):
            x = np.concatenate([part[step - 2][0] for part in parts])
            y = np.concatenate([part[step - 2][1] for part in parts])
            assert (x == whole[step][0]).all() and (y == whole[step][1]).all()
    x, _ = train.seeded(4).take(order.step_indices(0), order.step_epochs(0))
    assert not (x == whole[0][0]).all(axis=(1, 2, 3)).any()


def test_batches_of_unequal_sizes(shards: Path) -> None:
    """The last batch of an epoch, a group without examples, evaluation between: each as if taken alone."""
    train = data.load(section(shards), seed=3).train
    rng = np.random.default_rng(1)
    requests = []
    for count in (5, 5, 3, 0, 0, 7, 1, 80):
        indices = rng.integers(0, 30, count)
        requests.append((indices, rng.integers(0, 3, count) if count != 7 else None))
    for (indices, epochs), (x, y) in zip(requests, feed.stream(train, requests), strict=True):
        alone, labels = train.take(indices, epochs)
        assert x.shape == (len(indices), 32, 32, 3)
        assert (x == alone).all() and (y == labels).all()


def test_skipping_to_a_step_reads_nothing_before_it(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = data.load(section(shards), seed=3)
    read: list[int] = []
    stored = source.Shards.read
    monkeypatch.setattr(
        source.Shards, "read", lambda self, number: read.append(number) or stored(self, number)
    )
    order = Order(30, 6, "continuous", seed=3)
    steps = range(1000, 1003)
    for _ in feed.stream(found.train, Portion(order, 6, 1, 0).requests(steps.start, steps.stop)):
        pass
    assert sorted(read) == sorted(np.concatenate([order.step_indices(step) for step in steps]).tolist())


def test_a_held_out_part(shards: Path) -> None:
    whole = data.load(section(shards, augment="none"), seed=0)
    cut = data.load(section(shards, augment="none", holdout=7), seed=0)
    assert (len(cut.train), len(cut.val), len(cut.test or [])) == (23, 7, 9)
    assert (cut.val.take(np.arange(7))[0] == whole.train.take(np.arange(23, 30))[0]).all()
    assert cut.test is not None
    assert (cut.test.take(np.arange(9))[0] == whole.val.take(np.arange(9))[0]).all()
    for part, beyond in ((cut.train, 23), (cut.val, 7), (cut.val, -1)):
        with pytest.raises(IndexError):
            part.take(np.array([0, beyond]))


def test_a_photograph_that_cannot_be_decoded_is_named(folders: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folders, tmp_path / "copy")
    broken = root / "train" / "n03" / "n03_4.JPEG"
    broken.write_bytes(broken.read_bytes()[:-300])
    train = data.load(section(root), seed=0).train
    with pytest.raises(DataError) as error:
        list(feed.stream(train, [(np.arange(15) + start, np.zeros(15, int)) for start in (0, 15)]))
    assert str(error.value).startswith(f"{broken}: cannot be decoded.")
    broken.write_bytes(b"text")
    with pytest.raises(DataError, match=r"n03_4\.JPEG: is not a JPEG"):
        train.take(np.arange(30), np.zeros(30, int))


def test_a_shard_that_changes_under_training(shards: Path, tmp_path: Path) -> None:
    root = shutil.copytree(shards, tmp_path / "copy")
    train = data.load(section(root), seed=0).train
    path = root / "train-00001-of-00003"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train-00001-of-00003: record .* has a wrong checksum"):
        train.take(np.arange(30), np.zeros(30, int))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_shards_and_few_open_files(folders: Path, tmp_path: Path) -> None:
    prepare(folders, tmp_path, shards=30)
    stored = source.open_part(tmp_path, "train", 3)
    assert isinstance(stored, source.Shards)
    stored._limit = 4
    other = source.open_part(folders, "train", 3)
    before = open_files()
    for number in range(30):
        assert stored.read(number)[1] == other.read(number)[1]
    assert open_files() - before <= 4
    del stored
    assert open_files() <= before


def test_the_size_of_a_jpeg_is_read_without_decoding(photographs: Path) -> None:
    for mode, expected in (("L", 1), ("RGB", 3), ("CMYK", 4)):
        assert jpeg.frame(file_bytes(picture(1, 33, 47, mode))) == (33, 47, expected)
    progressive = io.BytesIO()
    picture(1, 20, 30).save(progressive, "JPEG", progressive=True, exif=b"Exif\0\0" + b"\xff\xc0" * 50)
    assert jpeg.frame(progressive.getvalue()) == (20, 30, 3)
    for path in sorted(photographs.glob("val/*/*"))[::20]:
        with Image.open(path) as image:
            assert jpeg.frame(path.read_bytes()) == (image.height, image.width, len(image.getbands()))
    for bad in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\x89PNG", b"\xff\xd8\x00\x00\x00"):
        with pytest.raises(ValueError, match="JPEG"):
            jpeg.frame(bad)

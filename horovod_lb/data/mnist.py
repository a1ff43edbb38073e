"""MNIST: 70,000 handwritten digits, 28 x 28, from the four published IDX files.

With a holdout of h the last h of the 60,000 training images are the validation set (5,000 is the usual
55K / 5K / 10K split) and the 10,000 test images are the test set; without one the test images are evaluated
every epoch. LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from horovod_lb.data import files, idx
from horovod_lb.data.dataset import Arrays
from horovod_lb.data.idx import IdxFile
from horovod_lb.errors import DataError

SOURCE = "Get it from the MNIST database of LeCun, Cortes and Burges or any mirror of it"

TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte",
    (60_000, 28, 28),
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    9_912_422,
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte",
    (60_000,),
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    28_881,
    "d53e105ee54ea40749a09fcbcd1e9432",
)
TEST_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte",
    (10_000, 28, 28),
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    1_648_877,
    "9fb629c4189551a2d022fa330f9573f3",
)
TEST_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte",
    (10_000,),
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    4_542,
    "ec29112dd5afa0611ce80d1b7f02629c",
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def read(root: str | None) -> tuple[Arrays, Arrays]:
    """The published training and test sets; `root` as in `folder`. DataError as in `idx.read`."""
    parts = {file: idx.read(path, file, SOURCE) for file, path in locate(root).items()}
    return (
        _arrays(parts[TRAIN_IMAGES], parts[TRAIN_LABELS]),
        _arrays(parts[TEST_IMAGES], parts[TEST_LABELS]),
    )


def locate(root: str | None) -> dict[IdxFile, Path]:
    """Where the four files are; `root` as in `folder`. DataError where one is missing."""
    where = folder(root)
    paths = {file: idx.find(where, file) for file in FILES}
    missing = [file for file, path in paths.items() if path is None]
    if missing:
        names = ", ".join(f"{file.name}.gz (md5 {file.gzip_md5})" for file in missing)
        raise DataError(f"{where}: missing, plain or as .gz: {names}. {SOURCE}.")
    return {file: path for file, path in paths.items() if path is not None}


def folder(root: str | None) -> Path:
    """The folder with the files: `root`, or where that is None $HLB_DATA; itself or its subfolder `mnist`."""
    help = f"{FILES[0].name}.gz and the other three files. {SOURCE}."
    return files.folder(root, ["mnist"], _holds_some, "MNIST", help)


def _holds_some(folder: Path) -> bool:
    return any(idx.find(folder, file) for file in FILES)


def _arrays(images: np.ndarray, labels: np.ndarray) -> Arrays:
    y = labels.astype(np.int64)
    y.flags.writeable = False
    return Arrays(images[..., np.newaxis], y)

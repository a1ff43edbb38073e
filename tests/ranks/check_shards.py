"""Training from ImageNet's shards: one rank looks through them, and the top five are counted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from points import spec, train
from rank_checks import Here, ranks

from horovod_lb.data import load
from horovod_lb.data.imagenet import records
from horovod_lb.data.imagenet.prepare import prepare

CLASSES, SIZE = 12, 32


def shards(root: Path) -> Path:
    """Twelve classes with their own colours in noise, 6 to train on and 3 to validate; no index yet."""
    stream = np.random.default_rng(0)
    colors = stream.integers(40, 216, (CLASSES, 3))
    for part, count in (("train", 6), ("val", 3)):
        for name in range(CLASSES):
            folder = root / "folders" / part / f"n{name:02}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(colors[name] + stream.normal(0, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
                out = io.BytesIO()
                Image.fromarray(pixels).save(out, "JPEG")
                (folder / f"{number}.JPEG").write_bytes(out.getvalue())
    prepare(root / "folders", root / "shards", shards=4)
    for index in (root / "shards").glob(".hlb-index-*"):
        index.unlink()
    return root / "shards"


def network() -> Any:
    return keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    )


@ranks(2, 3, seconds=240)
def check_one_rank_looks_through_the_shards(here: Here) -> None:
    root = here.first(shards(here.out) if here.rank == 0 else None)
    data = {"name": "imagenet", "root": str(root), "classes": CLASSES, "image_size": SIZE}
    scanned: list[Path] = []
    scan = records.scan

    def counted(path: Path) -> Any:
        scanned.append(path)
        return scan(path)

    models: list[Any] = []

    def build() -> Any:
        models.append(network())
        return models[-1]

    records.scan = counted
    try:
        point = {**spec("shards", batch_size=24, groups=6, epochs=3), "data": data}
        state, directory, _ = train(here, point, build)
    finally:
        records.scan = scan
    assert state == "completed"
    assert len(scanned) == (5 if here.rank == 0 else 0), scanned  # four of training, one of validation
    here.comm.Barrier()
    val = load(data).val
    x, y = val.take(np.arange(len(val)))
    info = load(data).info
    logits = models[0].predict(info.normalization(x.astype("float32")), verbose=0)
    better = (logits > logits[np.arange(len(y)), y][:, None]).sum(axis=1)
    row = directory.read_metrics()[-1]
    assert abs(row["val_top5"] - (better < 5).mean()) < 1e-6, row
    assert abs(row["val_accuracy"] - (better < 1).mean()) < 1e-6, row
    assert row["val_accuracy"] < row["val_top5"] < 1

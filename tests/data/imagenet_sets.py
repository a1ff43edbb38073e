"""Small sets of generated JPEG files in ImageNet's layout."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01", "n02", "n03")


def picture(seed: int, height: int = 40, width: int = 56, mode: str = "RGB") -> Image.Image:
    """A smooth picture, which JPEG keeps well."""
    rng = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    small = rng.integers(0, 256, (4, 4, channels), np.uint8).squeeze()
    return Image.fromarray(small, mode).resize((width, height), Image.Resampling.BICUBIC)


def file_bytes(image: Image.Image, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    return out.getvalue()


def class_folders(root: Path, train: int = 20, val: int = 4) -> Path:
    """`train` and `val` pictures of each class; one of them grey, one CMYK, one a PNG named JPEG."""
    seed = 0
    for part, count in (("train", train), ("val", val)):
        for name in CLASSES:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                seed += 1
                mode, kind = "RGB", "JPEG"
                if part == "train" and name == "n02":
                    mode = {0: "L", 1: "CMYK"}.get(number, "RGB")
                    kind = "PNG" if number == 2 else "JPEG"
                image = picture(seed, 40 + seed % 7, 56 - seed % 5, mode)
                (folder / f"{name}_{number}.JPEG").write_bytes(file_bytes(image, kind))
    return root


def shard_bytes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that is not hidden."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }

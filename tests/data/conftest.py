from __future__ import annotations

import os
from pathlib import Path

import pytest

from horovod_lb.data import mnist
from horovod_lb.errors import DataError


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with the four published files of MNIST."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    try:
        folder = mnist.folder(os.environ.get("HLB_DATA") or str(beside))
    except DataError as error:
        pytest.skip(f"set HLB_DATA to the folder with MNIST: {error}")
    if not any(folder.glob("train-images-idx3-ubyte*")):
        pytest.skip(f"set HLB_DATA to the folder with MNIST: it is not in {folder}")
    return folder

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.data import cifar10, mnist
from horovod_lb.errors import DataError

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def _published(locate: Callable[[str | None], object], folder: Callable[[str | None], Path]) -> Path:
    root = os.environ.get("HLB_DATA") or str(_BESIDE)
    try:
        locate(root)
    except DataError as error:
        pytest.skip(f"set HLB_DATA to the folder with the data sets: {error}")
    return folder(root)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with the four published files of MNIST."""
    return _published(mnist.locate, mnist.folder)


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """The folder with the published batches of CIFAR-10."""
    return _published(cifar10.locate, cifar10.folder)

"""The 1,797 handwritten digits, 8 x 8, that come with scikit-learn (UCI "Optical Recognition of Handwritten
Digits", its test part). Pixels are 0..16.

The published set has no split. Ours is fixed: in the order `permutation(1797, seed=1797, epoch=0)` the first
1,440 images are the training set, the other 357 the test set. With a holdout of h the last h of the 1,440 are
the validation set.
"""

from __future__ import annotations

import hashlib

import numpy as np

from horovod_lb.data.dataset import Arrays
from horovod_lb.data.order import permutation
from horovod_lb.errors import DataError

EXAMPLES = 1797
TRAIN_EXAMPLES = 1440
# Of the pixels and then the labels, as bytes in the published order.
SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def read() -> tuple[Arrays, Arrays]:
    """The training and the test set. DataError if scikit-learn is absent or brings another set."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "digits: they come with scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    images, labels = load_digits(return_X_y=True)
    x = images.astype(np.uint8).reshape(-1, 8, 8, 1)
    found = hashlib.sha256(x.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if found != SHA256:
        import sklearn

        raise DataError(
            f"digits: the set in {sklearn.__path__[0]} (scikit-learn {sklearn.__version__}) is not the "
            f"published one: sha256 {found} instead of {SHA256}. Install scikit-learn anew."
        )
    order = permutation(EXAMPLES, seed=EXAMPLES, epoch=0)
    x, y = x[order], labels.astype(np.int64)[order]
    x.flags.writeable = y.flags.writeable = False
    return (
        Arrays(x[:TRAIN_EXAMPLES], y[:TRAIN_EXAMPLES]),
        Arrays(x[TRAIN_EXAMPLES:], y[TRAIN_EXAMPLES:]),
    )

"""What `plain_script.py` trains on 2 ranks, in one process of plain Keras: no Horovod, no horovod_lb."""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

x, y = load_digits(return_X_y=True)
# Each global batch is the next 24 examples of either half.
order = np.arange(1440).reshape(2, 30, 24).transpose(1, 0, 2).reshape(-1)

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
)
model.compile(
    keras.optimizers.Adam(0.002),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(x[order] / 16, y[order], batch_size=48, epochs=3, shuffle=False, verbose=0)
np.savez(sys.argv[1], *(v.numpy() for v in model.trainable_variables))

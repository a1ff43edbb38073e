"""A Keras script of one's own, made parallel by the lines marked with (1), (2) and (3).

mpirun -n 2 python plain_script.py
"""

import sys

import keras
from sklearn.datasets import load_digits

import horovod_lb as hlb

world = hlb.init()  # (1) before TensorFlow does any work

x, y = load_digits(return_X_y=True)
mine = hlb.shard(1440, world.rank, world.size)  # (2) this rank's part of the training set

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
)
model.compile(
    optimizer=hlb.DistributedOptimizer(keras.optimizers.Adam(0.002)),  # (3) gradients averaged over the ranks
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(
    x[mine] / 16,
    y[mine],
    batch_size=48 // world.size,
    epochs=3,
    shuffle=False,
    verbose=2 if world.rank == 0 else 0,
    callbacks=[hlb.Synchronize()],  # (3) one start, one set of metrics, and a check that the ranks agree
)
if world.rank == 0 and len(sys.argv) > 1:
    model.save_weights(sys.argv[1])

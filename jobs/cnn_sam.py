"""Two convolutions on MNIST with and without sharpness-aware minimization, small batches against large ones.

    hlb run jobs/studies/surlemont2022-sam.yaml
    hlb report jobs/studies/surlemont2022-sam.yaml

The study switches SAM on (`recipe.sam: {rho: 0.05}`), for any optimizer: a step takes its gradient twice, at
w and at w + ε. `measure: [sharpness]` adds to the tables how sharp the minimum is.

The same in a script that does not use studies:

    model = hlb.SAM(network, rho=0.05)                     # network: any Keras model
    model.compile(hlb.DistributedOptimizer(keras.optimizers.SGD(0.1)), loss=...)
    model.fit(...)
"""

import keras
from keras import layers

import horovod_lb as hlb


def network(classes, shape, dropout):
    """Convolutions of 32 and 64 filters with ReLU and max pooling, dropout, one dense layer; logits.

    It is `hlb.models.build("cnn2")`, written out: a network of your own goes here.
    """
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(classes, dtype="float32"),
        ],
        name="cnn2",
    )


def main(run):
    """Train one run of the study on this rank."""
    data = run.load_data()
    dropout = run.spec["model"].get("dropout")
    model = network(data.info.classes, data.info.shape, 0.5 if dropout is None else dropout)
    # Masks of dropout are keyed by seed, step and group: both of SAM's passes see the same.
    run.fit(model, run.optimizer(), data)


if __name__ == "__main__":
    hlb.job(main)

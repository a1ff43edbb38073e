"""Residual networks on CIFAR-10: `cifar_resnet50`, `cifar_resnet18`, `resnet20`, `resnet32` or `resnet56`.

    hlb run jobs/studies/cifar10-resnet20-short.yaml --workers 2     # about an hour on two cores
    hlb submit jobs/studies/cifar10-resnet50.yaml --machine NAME     # batch sizes 128 to 25,088, on GPUs

The study's `model.name` chooses the network; its `data.augment: standard` pads by four pixels, crops and
flips. The script adds a callback of its own: what works in `model.fit` works here.
"""

import keras

import horovod_lb as hlb


class Best(keras.callbacks.Callback):
    """Prints an epoch's validation accuracy where it is the best so far of this life."""

    def __init__(self):
        super().__init__()
        self.accuracy = 0.0

    def on_epoch_end(self, epoch, logs=None):
        """`logs` is the epoch's row of metrics.csv, the same on every rank: reduced already."""
        if logs["val_accuracy"] > self.accuracy:
            self.accuracy = logs["val_accuracy"]
            print(f"epoch {epoch + 1}: best so far, {self.accuracy:.4f}", flush=True)


def main(run):
    """Train one run of the study on this rank."""
    data = run.load_data()  # the five batches and the test batch, binary or Python version, in memory
    model = run.model()
    callbacks = [Best()] if run.world.rank == 0 else []
    run.fit(model, run.optimizer(), data, callbacks=callbacks)


if __name__ == "__main__":
    hlb.job(main)

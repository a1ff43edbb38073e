"""A small convolutional network on scikit-learn's handwritten digits: the demo's job.

    hlb run jobs/studies/demo.yaml

Copy this file to begin a job of your own. The study says how to train (batch size, rate, warmup, seeds);
the script says what: data, model, and whatever else `main` likes to do.
"""

import horovod_lb as hlb


def main(run):
    """Train one run of the study on this rank."""
    data = run.load_data()  # data.train, data.val, data.test: uint8 or float32 images and int64 labels
    model = run.model()

    # The recipe's optimizer, with the learning rate of every step inside the graph. Any Keras optimizer will
    # do: run.fit wraps it so that gradients are averaged over the ranks.
    optimizer = run.optimizer()

    # Steps, all-reduce, evaluation, metrics, checkpoints. An interrupted run goes on where it stopped.
    run.fit(model, optimizer, data)


if __name__ == "__main__":
    hlb.job(main)

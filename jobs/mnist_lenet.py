"""LeNet-5 on MNIST, with the learning rate as callbacks.

    hlb run jobs/studies/mnist-warmup.yaml

The other jobs leave the learning rate to the recipe's in-graph schedule. This one shows the same rate put
together from callbacks, which work in any Keras script: `hlb.LinearScaling`, `hlb.GradualWarmup`,
`hlb.ConstantWarmup` and `hlb.StepDecay`. Step for step both give the same numbers.
"""

import horovod_lb as hlb


def rate_callbacks(run):
    """The recipe's scaling, warmup and decay as a list of callbacks."""
    recipe, warmup, schedule = run.recipe, run.recipe["warmup"], run.recipe["schedule"]
    if recipe["scaling"] != "linear" or schedule["kind"] not in ("constant", "step"):
        raise ValueError(
            "jobs/mnist_lenet.py knows linear scaling with a constant or step schedule; for others let "
            "run.optimizer() make the schedule, as jobs/digits_cnn.py does"
        )
    callbacks = [
        hlb.LinearScaling(
            batch_size=recipe["batch_size"],
            reference_batch_size=recipe["reference"]["batch_size"],
            reference_rate=recipe["reference"]["learning_rate"],
            examples=run.info.train_examples,
            remainder=recipe["remainder"],
        )
    ]
    if warmup["kind"] != "none":
        kind = hlb.GradualWarmup if warmup["kind"] == "gradual" else hlb.ConstantWarmup
        callbacks.append(kind(warmup["epochs"], start=warmup["start"], steps=warmup["steps"]))
    if schedule["kind"] == "step":
        callbacks.append(hlb.StepDecay(schedule["epochs"], schedule["factor"], schedule["anchor"] or "zero"))
    return callbacks


def main(run):
    """Train one run of the study on this rank."""
    data = run.load_data()  # reads the four IDX files under data.root or $HLB_DATA
    model = hlb.models.build(run.spec["model"]["name"], classes=data.info.classes)
    optimizer = run.optimizer(learning_rate=run.recipe["reference"]["learning_rate"])
    run.fit(model, optimizer, data, callbacks=rate_callbacks(run))


if __name__ == "__main__":
    hlb.job(main)

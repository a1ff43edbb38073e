"""LeNet-5 on MNIST, with the learning rate as callbacks.

    hlb run jobs/studies/mnist-warmup.yaml

The other jobs leave the learning rate to the recipe's in-graph schedule. This one shows the same rate put
together from callbacks, which work in any Keras script: `hlb.LinearScaling`, `hlb.GradualWarmup`,
`hlb.ConstantWarmup` and `hlb.StepDecay`. Step for step both give the same numbers. For other scalings and
schedules there are no callbacks, and this job too takes the in-graph schedule.
"""

import horovod_lb as hlb


def has_callbacks(recipe):
    """Whether the callbacks can make this recipe's rate."""
    return (
        recipe["scaling"] == "linear"
        and recipe["warmup"]["kind"] in ("none", "gradual", "constant")
        and recipe["schedule"]["kind"] in ("constant", "step")
    )


def rate_callbacks(run):
    """The recipe's scaling, warmup and decay as a list of callbacks."""
    recipe, warmup, schedule = run.recipe, run.recipe["warmup"], run.recipe["schedule"]
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
    model = run.model()
    if has_callbacks(run.recipe):
        optimizer = run.optimizer(learning_rate=run.recipe["reference"]["learning_rate"])
        run.fit(model, optimizer, data, callbacks=rate_callbacks(run))
    else:
        run.fit(model, run.optimizer(), data)


if __name__ == "__main__":
    hlb.job(main)

"""ResNet-50 on ImageNet, or any other network and set of photographs that the study names.

    hlb plan jobs/studies/imagenet-resnet50.yaml --audit
    hlb submit jobs/studies/imagenet-resnet50.yaml --machine NAME
    hlb run jobs/studies/mccord2021-warmup.yaml --workers 2      # a recipe of 240 GPUs on two cores

How it trains is in the study: every option of the papers is a key of `recipe:`, `model:` or `data:`, so that
a table of accuracies says what made them. What belongs into a script is what a study cannot say. Copy this
file, and change what `main` builds: `run.fit` takes any Keras model with logits, any Keras optimizer and any
data.
"""

import math

import horovod_lb as hlb


def describe(run, model, data):
    """Prints what is about to be trained to the run's log."""
    batch, rate = run.resolved.batch, run.resolved.rate
    parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    print(
        f"{model.name}, {parameters:,} parameters, on {len(data.train):,} images of "
        f"{data.info.classes} classes"
    )
    print(
        f"batch size {batch.batch_size} in {batch.groups} groups of {batch.group_size}, "
        f"{batch.groups_per_worker} a rank on {run.world.size} ranks; "
        f"learning rate {rate.start:g} to {rate.peak:g} in {rate.warmup_epochs:g} epochs",
        flush=True,
    )


def main(run):
    """Train one run of the study on this rank."""
    # TFRecord shards or folders of JPEGs under `data.root`, dealt to the ranks by one order an epoch. Images
    # to train on are decoded, cropped and flipped as seed and epoch say: the same pixels on whichever rank.
    data = run.load_data()

    # `model: {name, batch_norm, zero_gamma, ...}` of the study; for these classes and images.
    model = run.model()

    # `recipe: {optimizer, schedule, warmup, scaling, weight_decay, ...}`; the rate is inside the graph.
    optimizer = run.optimizer()

    if run.world.rank == 0:
        describe(run, model, data)
    # Steps, all-reduce, evaluation, metrics, checkpoints. An interrupted run goes on where it stopped.
    run.fit(model, optimizer, data)


if __name__ == "__main__":
    hlb.job(main)

"""Measurements of training: sharpness, Hessian, distance, noise scale, signal-to-noise, trust ratios.

`sharpness`, `spectrum`, `fits` and `scale` are plain functions of numbers and vectors, without TensorFlow;
`objective` makes such a function of a model and its data, and `callbacks` and `probes` make columns of them.
"""

from horovod_lb.measure.callbacks import Distance, Measurement, NoiseScale, TrustRatios
from horovod_lb.measure.measurements import Measurements
from horovod_lb.measure.objective import Objective
from horovod_lb.measure.probes import Hessian, Sharpness, SignalToNoise

__all__ = [
    "Distance",
    "Hessian",
    "Measurement",
    "Measurements",
    "NoiseScale",
    "Objective",
    "Sharpness",
    "SignalToNoise",
    "TrustRatios",
]

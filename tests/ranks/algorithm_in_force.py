"""One rank: which all-reduce algorithm MPI holds. Loads that module alone, not TensorFlow."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

path = Path(sys.argv[1])
specification = importlib.util.spec_from_file_location("algorithm", path)
module = importlib.util.module_from_spec(specification)
specification.loader.exec_module(module)
total = np.empty(1)
MPI.COMM_WORLD.Allreduce(np.array([MPI.COMM_WORLD.rank + 1.0]), total)
names = MPI.COMM_WORLD.gather((module.algorithm_in_force(), float(total[0])))
if MPI.COMM_WORLD.rank == 0:
    for name, value in names:
        print(os.environ["HLB_ALLREDUCE"], name, value)

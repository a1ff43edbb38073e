"""A user's own Keras script with the added lines, on 2 ranks, against plain Keras on the same batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from rank_checks import HERE
from rank_launch import environment, launch


def test_a_keras_script_of_ones_own(tmp_path: Path) -> None:
    weights, alone = tmp_path / "ranks.weights.h5", tmp_path / "alone.npz"
    started = launch(2, [str(HERE / "plain_script.py"), str(weights)])
    done = subprocess.run(started.argv, env=environment(started), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Epoch 3/3") == 1
    subprocess.run(
        [sys.executable, str(HERE / "plain_alone.py"), str(alone)],
        env=environment(started),
        check=True,
        capture_output=True,
        timeout=300,
    )
    with np.load(alone) as file, h5py.File(weights) as saved:
        found = {}
        saved.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None
        )
        found = {name: value for name, value in found.items() if name.startswith("layers/")}
        assert len(found) == len(file.files) == 4
        for name, key in zip(sorted(found), file.files, strict=True):
            np.testing.assert_allclose(found[name], file[key], rtol=1e-4, atol=1e-6, err_msg=name)

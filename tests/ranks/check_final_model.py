"""The trained model as a `.keras` file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import horovod.tensorflow as hvd
import keras
import numpy as np
import pytest
from points import mlp, normalized, spec, train
from rank_checks import Here, ranks

from horovod_lb.data import load

LOAD = """
import sys
import keras
import numpy as np
model = keras.models.load_model(sys.argv[1])
assert not any(name.startswith("horovod") for name in sys.modules)
assert not model.compiled or model.optimizer is None
x = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(x, verbose=0))
"""


def _logits(file: Path, x: np.ndarray, out: Path) -> np.ndarray:
    """Of the model in `file`, in a process that knows nothing of this project; in this one beside others."""
    if hvd.size() > 1:
        return np.asarray(keras.models.load_model(file)(x, training=False))
    np.save(out / "x.npy", x)
    command = [sys.executable, "-c", LOAD, str(file), str(out / "x.npy"), str(out / "logits.npy")]
    done = subprocess.run(command, cwd=out, env=_plain(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(out / "logits.npy")


def _plain() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("OMPI", "PMIX", "PRTE", "PYTHONPATH"))}


@ranks(1, 2, seconds=240)
def check_the_final_model_is_the_trained_one(here: Here) -> None:
    """With batch norm and a moving average of the weights, whose values the validation saw, too."""
    models: list[Any] = []

    def build() -> Any:
        models.append(normalized())
        return models[-1]

    point = spec("final-model", checkpoint={"final_model": True}, ema={"decay": 0.9})
    state, directory, _ = train(here, point, build)
    here.comm.Barrier()
    assert state == "completed"
    assert models[0].optimizer is not None
    if here.rank:
        return
    digits = load(point["data"])
    x = digits.val.x[:].astype("float32") * digits.info.scale
    logits = _logits(directory.final_model, x, here.out)
    assert np.allclose(logits, np.asarray(models[0](x, training=False)), atol=1e-5)
    accuracy = float(np.mean(logits.argmax(1) == digits.val.y))
    assert accuracy == pytest.approx(directory.read_metrics()[-1]["val_accuracy"], abs=1e-9)
    assert [path.name for path in directory.path.glob("*model*")] == ["model.keras"]


@ranks(2)
def check_no_model_is_left_where_none_was_asked_for(here: Here) -> None:
    _, directory, _ = train(here, spec("no-model", epochs=1), mlp)
    here.comm.Barrier()
    assert not directory.final_model.exists()
    assert not directory.tensorboard.exists()


@ranks(2)
def check_a_model_without_room_is_not_a_failed_run(here: Here) -> None:
    """A folder is in the way of the file: the result stands, and the run says what happened."""

    def in_the_way(run: Any) -> None:
        run.directory.final_model.mkdir(exist_ok=True)
        (run.directory.final_model / "file").touch()

    point = spec("model-in-the-way", epochs=1, checkpoint={"final_model": True})
    state, directory, _ = train(here, point, mlp, before=in_the_way)
    here.comm.Barrier()
    assert state == "completed"
    assert json.loads(directory.exit_json.read_text())["state"] == "completed"
    (event,) = [one for one in directory.read_events() if one["kind"] == "final model not saved"]
    assert "irectory" in event["reason"]
    assert not list(directory.path.glob(".*model.keras"))

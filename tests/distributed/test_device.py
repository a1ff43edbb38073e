"""Physical GPUs and NCCL's version: against libraries made for the test that answer as the real ones do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEVICE = Path(__file__).parents[2] / "horovod_lb" / "distributed" / "device.py"
# Two GPUs; the driver's older entry point gives every slice of one GPU the same name.
CUDA = r"""
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int* device, int index) { *device = index + 40; return index < 2 ? 0 : 101; }
int cuDeviceGetUuid(unsigned char* name, int device) { memset(name, 0xaa, 16); return 0; }
int cuDeviceGetUuid_v2(unsigned char* name, int device) {
    for (int i = 0; i < 16; i++) name[i] = i + device;
    return 0;
}
"""
HIP = r"""
#include <string.h>
int hipDeviceGetPCIBusId(char* name, int size, int device) { strncpy(name, "0000:c1:00.0", size); return 0; }
"""
NCCL = "int ncclGetVersion(int* version) { *version = 23203; return 0; }\n"


@pytest.fixture
def said(tmp_path):
    """Runs device.py in a process that finds only the libraries made here."""

    def run(expression, **libraries):
        compiler = shutil.which("cc") or shutil.which("gcc") or pytest.skip("no C compiler on this machine")
        for name, text in libraries.items():
            (tmp_path / f"{name}.c").write_text(text)
            target = {"cuda": "libcuda.so.1", "nccl": "libnccl.so.2", "hip": "libamdhip64.so"}[name]
            command = [
                compiler,
                "-shared",
                "-fPIC",
                "-o",
                str(tmp_path / target),
                str(tmp_path / f"{name}.c"),
            ]
            subprocess.run(command, check=True)
        code = (
            "import ctypes, importlib.util\n"
            f"spec = importlib.util.spec_from_file_location('device', {str(DEVICE)!r})\n"
            "device = importlib.util.module_from_spec(spec); spec.loader.exec_module(device)\n"
            f"print({expression})"
        )
        env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


def test_each_cuda_gpu_has_a_name_of_its_own(said):
    assert said("device.physical_gpu(0)", cuda=CUDA) == "GPU-28292a2b-2c2d-2e2f-3031-323334353637"
    assert said("device.physical_gpu(1)") == "GPU-292a2b2c-2d2e-2f30-3132-333435363738"
    assert said("device.physical_gpu(2)") == "None"


def test_a_hip_gpu_has_its_bus_id(said):
    no_cuda = "int cuInit(unsigned flags) { return 100; }\n"
    assert said("device.physical_gpu(0)", hip=HIP, cuda=no_cuda) == "0000:c1:00.0"


def test_no_driver_no_answer(said):
    broken = "int cuInit(unsigned flags) { return 100; }\nint cuDeviceGet(int* d, int i) { return 3; }\n"
    assert said("device.physical_gpu(0)", cuda=broken) == "None"


def test_nccl_that_is_loaded(said):
    assert said("device.nccl_version()", nccl=NCCL) == "None"  # it is there, but nobody has loaded it
    load = "ctypes.CDLL('libnccl.so.2') and device.nccl_version()"
    assert said(load) == "2.32.3"


@pytest.mark.parametrize(("code", "text"), [("23203", "2.32.3"), ("21805", "2.18.5"), ("2708", "2.7.8")])
def test_numbers_of_nccl(said, code, text):
    assert said(f"device.version_text({code})") == text

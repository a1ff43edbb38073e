"""Which physical GPU a visible one is, and which NCCL is loaded: asked of the libraries in this process."""

from __future__ import annotations

import ctypes
import uuid
from pathlib import Path

_CUDA, _HIP = "libcuda.so.1", "libamdhip64.so"


def physical_gpu(index: int) -> str | None:
    """A name that no other GPU of this host has: CUDA's UUID (a MIG slice's own), HIP's bus id; else None.

    `index` counts visible GPUs. Two ranks of a host with the same answer share a GPU.
    """
    return _cuda_uuid(index) or _hip_bus_id(index)


def nccl_version() -> str | None:
    """The version of the NCCL (or RCCL) library that is loaded; None where none is."""
    loaded = _mapped(("libnccl", "librccl"))
    number = ctypes.c_int()
    try:
        library = ctypes.CDLL(loaded[0]) if loaded else None
        if library is None or library.ncclGetVersion(ctypes.byref(number)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version_text(number.value)


def version_text(code: int) -> str:
    """NCCL's number as text: 23203 is 2.32.3; up to 2.8 the number had one digit less (2708 is 2.7.8)."""
    major = 10_000 if code >= 10_000 else 1000
    return f"{code // major}.{code % major // 100}.{code % 100}"


def _cuda_uuid(index: int) -> str | None:
    device, name = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    try:
        cuda = ctypes.CDLL(_CUDA)
        # The second version tells slices of one GPU (MIG) apart.
        ask = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
        if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index) or ask(name, device):
            return None
    except (OSError, AttributeError):
        return None
    return f"GPU-{uuid.UUID(bytes=bytes(name))}"


def _hip_bus_id(index: int) -> str | None:
    name = ctypes.create_string_buffer(64)
    try:
        if ctypes.CDLL(_HIP).hipDeviceGetPCIBusId(name, len(name), index):
            return None
    except (OSError, AttributeError):
        return None
    return name.value.decode(errors="replace")


def _mapped(names: tuple[str, ...]) -> list[str]:
    """Files of this process' libraries whose names begin so."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count("/")}
    return sorted(path for path in paths if Path(path).name.startswith(names))

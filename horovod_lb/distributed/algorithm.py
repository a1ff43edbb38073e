"""Ask the MPI library which all-reduce algorithm it was told to use, through its tools interface (MPI_T)."""

from __future__ import annotations

import ctypes

_MPI_THREAD_SINGLE = 0
# Values of Open MPI's variable coll_tuned_allreduce_algorithm.
_TUNED = {0: "mpi_default", 3: "recursive_doubling", 4: "ring", 5: "segmented_ring", 6: "rabenseifner"}

# Open MPI's own priority of its component `han` is 35; `recipe.communication` raises it to this.
_HAN_RAISED = 100


def algorithm_in_force() -> str | None:
    """Name of the algorithm that Open MPI's tuned component holds; None where the library does not tell.

    Horovod has loaded the MPI library already, so its symbols are looked up in the running process.
    """
    try:
        # Promotes the library that Horovod loaded privately; nothing new is loaded or started.
        from mpi4py import MPI

        library = ctypes.CDLL(MPI.__file__)
        value = _read_int(library, b"coll_tuned_allreduce_algorithm")
        dynamic = _read_int(library, b"coll_tuned_use_dynamic_rules")
        han = _read_int(library, b"coll_han_priority")
    except (ImportError, OSError, AttributeError):
        return None
    if value is None or dynamic is None:
        return None
    if dynamic:
        return _TUNED.get(value, f"tuned algorithm {value}")
    return "hierarchical" if han is not None and han >= _HAN_RAISED else "mpi_default"


def _read_int(library: ctypes.CDLL, name: bytes) -> int | None:
    provided, index, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    handle, value = ctypes.c_void_p(), ctypes.c_longlong(0)
    if library.MPI_T_init_thread(_MPI_THREAD_SINGLE, ctypes.byref(provided)) != 0:
        return None
    try:
        if library.MPI_T_cvar_get_index(ctypes.c_char_p(name), ctypes.byref(index)) != 0:
            return None
        if library.MPI_T_cvar_handle_alloc(index, None, ctypes.byref(handle), ctypes.byref(count)) != 0:
            return None
        failed = library.MPI_T_cvar_read(handle, ctypes.byref(value))
        library.MPI_T_cvar_handle_free(ctypes.byref(handle))
        return None if failed else int(value.value) & 0xFFFFFFFF
    finally:
        library.MPI_T_finalize()

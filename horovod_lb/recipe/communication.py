"""The all-reduce algorithms by name, and the environment that makes MPI, NCCL and Horovod use them."""

from __future__ import annotations

from horovod_lb.errors import RecipeError

# Open MPI's collective component `tuned` takes a fixed algorithm by number (`ompi_info --all`, 5.0); its
# priority is raised above the components that would otherwise answer first between hosts (han 35, hcoll 90).
_TUNED = {
    "OMPI_MCA_coll_tuned_priority": "100",
    "OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
}

# NCCL has a ring and trees, but neither recursive doubling nor Rabenseifner's: there it keeps its own choice.
_ENVIRONMENT: dict[str, dict[str, str]] = {
    "ring": {**_TUNED, "OMPI_MCA_coll_tuned_allreduce_algorithm": "4", "NCCL_ALGO": "Ring"},
    "recursive_doubling": {**_TUNED, "OMPI_MCA_coll_tuned_allreduce_algorithm": "3"},
    "rabenseifner": {**_TUNED, "OMPI_MCA_coll_tuned_allreduce_algorithm": "6"},
    # Inside each host first, then between hosts: Open MPI's component `han`, Horovod's own switch under NCCL.
    "hierarchical": {"OMPI_MCA_coll_han_priority": "100", "HOROVOD_HIERARCHICAL_ALLREDUCE": "1"},
    "mpi_default": {},
}

ALLREDUCE_NAMES = tuple(_ENVIRONMENT)


def environment(name: str) -> dict[str, str]:
    """Environment variables that select the all-reduce algorithm `name`, read when MPI and NCCL start.

    Raises `RecipeError` for a name that is not in `ALLREDUCE_NAMES`.
    """
    if name not in _ENVIRONMENT:
        raise RecipeError(
            f"communication.allreduce: {name!r} is not known; it is one of {', '.join(_ENVIRONMENT)}"
        )
    return dict(_ENVIRONMENT[name])

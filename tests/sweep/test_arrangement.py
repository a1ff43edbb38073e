from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.errors import RequestError
from horovod_lb.recipe.batch import divisors
from horovod_lb.sweep.arrangement import arrange, ranks_of
from horovod_lb.sweep.places import ThisMachine


def spec(
    run_id: str = "a", *, workers: int = 4, groups: int = 4, allreduce: str = "ring", axis: bool = False
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "point": {"resources.workers": workers} if axis else {},
        "resources": {"workers": workers},
        "model": {"name": "net"},
        "recipe": {"communication": {"allreduce": allreduce}},
        "derived": {"batch_size": 8 * groups, "groups": groups},
    }


@pytest.mark.parametrize(
    ("workers", "groups", "cores", "ranks"),
    [
        (4, 4, 8, 4),
        (4, 4, 2, 2),
        (4, 4, 3, 2),
        (3, 3, 2, 1),
        (240, 240, 16, 16),
        (6, 240, 16, 6),
        (5, 7, 64, 1),
    ],
)
def test_ranks_are_what_the_machine_holds_and_what_divides_the_groups(
    workers: int, groups: int, cores: int, ranks: int
) -> None:
    assert ranks_of(spec(workers=workers, groups=groups), cores) == ranks


def test_blocks_of_groups_that_share_their_normalization_are_not_cut() -> None:
    run = spec(workers=12, groups=12) | {"model": {"name": "net", "batch_norm": "group", "bn_groups": 4}}
    assert [ranks_of(run, cores) for cores in (1, 2, 3, 4, 5, 6, 11, 12)] == [1, 1, 3, 3, 3, 6, 6, 12]
    with pytest.raises(RequestError, match=r"--workers 2: the 12 groups of .* would do: 1, 3, 6, 12$"):
        arrange([run], ThisMachine(8), workers=2)


def test_workers_on_an_axis_are_the_experiment() -> None:
    assert ranks_of(spec(workers=4, axis=True), 2) == 4


@given(st.integers(1, 3000))
def test_divisors_are_all_that_divide(number: int) -> None:
    assert divisors(number) == [d for d in range(1, number + 1) if number % d == 0]


def test_sessions_fill_the_cores_and_share_the_threads() -> None:
    runs = [spec(str(i), workers=2, groups=2) for i in range(10)]
    (batch,) = arrange(runs, ThisMachine(16))
    assert (batch.workers, len(batch.places), batch.threads) == (2, 8, 1)
    (batch,) = arrange(runs[:1], ThisMachine(16))
    assert (batch.workers, len(batch.places), batch.threads) == (2, 1, 8)
    (batch,) = arrange(runs, ThisMachine(16), threads=3)
    assert batch.threads == 3
    (batch,) = arrange(runs, ThisMachine(1), workers=2)
    assert (batch.workers, len(batch.places), batch.threads) == (2, 1, 1)


def test_runs_of_unlike_sessions_are_kept_apart_in_order() -> None:
    runs = [spec("a"), spec("b", allreduce="rabenseifner"), spec("c"), spec("d", workers=1, axis=True)]
    batches = arrange(runs, ThisMachine(4))
    assert [(batch.workers, batch.allreduce, batch.run_ids) for batch in batches] == [
        (4, "ring", ("a", "c")),
        (4, "rabenseifner", ("b",)),
        (1, "ring", ("d",)),
    ]


def test_workers_that_do_not_divide_are_refused_with_those_that_do() -> None:
    with pytest.raises(RequestError, match=r"--workers 4: the 6 groups of run a .* would do: 1, 2, 3, 6$"):
        arrange([spec(workers=6, groups=6)], ThisMachine(8), workers=4)

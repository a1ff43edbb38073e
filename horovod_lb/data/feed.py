"""Examples fetched ahead of the steps that need them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horovod_lb.data.dataset import Examples

AHEAD = 2  # batches: one that is being made while one waits

Request = tuple[NDArray[np.int64], NDArray[np.int64] | None]
Batch = tuple[NDArray[Any], NDArray[np.int64]]


def stream(examples: Examples, requests: Iterable[Request]) -> Generator[Batch, None, None]:
    """The batch of each request (indices, epochs), in order; see `Examples.take`.

    By the examples' own `stream(requests)` where they have one; else a thread takes the next batches while
    the caller works. Close the iterator (`contextlib.closing`) where not all of it is used.
    """
    own = getattr(examples, "stream", None)
    yield from own(requests) if own is not None else _ahead(examples, iter(requests))


def _ahead(examples: Examples, requests: Iterator[Request]) -> Iterator[Batch]:
    def make() -> Batch | None:
        request = next(requests, None)
        return None if request is None else examples.take(*request)

    pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
    waiting: deque[Future[Batch | None]] = deque()
    try:
        while True:
            while len(waiting) < AHEAD:
                waiting.append(pool.submit(make))
            batch = waiting.popleft().result()
            if batch is None:
                return
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)

"""What all tests share: they start programs, and must not hand on what this process happens to have."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# The same draws in every run of the suite; HLB_EXPLORE=1 draws others each time.
settings.register_profile(
    "horovod_lb",
    deadline=None,
    max_examples=50,
    derandomize="HLB_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("horovod_lb")

# A test suite started in the background inherits an ignored SIGINT, and so would the programs it interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def same_environment() -> Iterator[None]:
    """Variables that a module's tests set (`hlb.init` does) are gone before the next module's."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)

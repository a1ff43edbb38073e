"""`python -m horovod_lb.wheel`: have the right Horovod in this environment."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import build, proof, site
from horovod_lb.wheel.cache import WheelCache, default_root
from horovod_lb.wheel.plan import make_plan
from horovod_lb.wheel.selftest import self_test, trial
from horovod_lb.wheel.settings import recall


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m horovod_lb.wheel",
        description="Build Horovod for this environment, or take it from the cache; install it, prove it on "
        "two ranks. The usual HOROVOD_* variables choose what is built, HLB_MPICC the MPI; HLB_USE_SITE=1 "
        "takes the site's as it is and proves it. See docs/horovod.md.",
    )
    parser.add_argument(
        "--sdist", type=Path, metavar="FILE", help="Horovod's source, where no index can be reached"
    )
    parser.add_argument("--rebuild", action="store_true", help="compile even if the wheel is there")
    parser.add_argument(
        "--no-self-test", action="store_true", help="install only: where no ranks may be started"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--print-key", action="store_true", help="print the wheel's key, folder and facts, and stop"
    )
    only.add_argument(
        "--self-test", action="store_true", help="prove the Horovod that is installed, and stop"
    )
    only.add_argument(
        "--is-proven", action="store_true", help="status 0 where what is installed has passed the self-test"
    )
    options = parser.parse_args(arguments)
    env = recall(os.environ, Path(sys.prefix))
    try:
        if options.is_proven:
            return 0 if proof.read() else 1
        if site.wanted(env):
            print(f"Horovod: {site.prove(env, again=options.self_test)}.")
        elif options.print_key:
            plan = make_plan(env)
            folder = default_root(env) / "wheels" / plan.key
            print(plan.key)
            print(json.dumps({"folder": str(folder), "facts": dict(plan.facts)}, indent=2))
        elif options.self_test:
            log = WheelCache(default_root(env)).logs / f"{time.strftime('%Y%m%d-%H%M%S')}-selftest.log"
            self_test(trial(make_plan(env)), env, log)
            print("Horovod: self-test passed.")
        else:
            done = build.ensure(
                env, archive=options.sdist, rebuild=options.rebuild, prove=not options.no_self_test
            )
            print(f"Horovod: {done.how} (key {done.key}, {done.seconds:.0f} s).")
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was changed in the cache.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

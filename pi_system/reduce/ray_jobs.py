"""Jobs on Ray (https://docs.ray.io), where it is installed: the extra ``ray``.

Ray places the jobs; this module only hands them over and gives their results back in the jobs' order. With
``RAY_ADDRESS`` set the jobs run on that cluster, otherwise on this machine.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from pi_system.extras import needs

_Job = TypeVar("_Job")


def run_on_ray(
    run: Callable[[_Job], dict[str, Any]], jobs: Sequence[_Job], workers: int, cores: int
) -> Iterator[dict[str, Any]]:
    """Run every job in a process of Ray's and yield the results in order.

    Args:
        run: a job's function; it and the jobs can be pickled.
        jobs: what to run.
        workers: jobs at once, where Ray is started here; a running cluster takes as many as it has cores for.
        cores: of each job; where there is a GPU, each job gets one.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    with needs("ray", "--set ray=true"):
        import ray
    cluster = "RAY_ADDRESS" in os.environ
    ray.init(
        **({} if cluster else {"num_cpus": workers * cores, "include_dashboard": False}),
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(cores)}},
        log_to_driver=False,
    )
    try:
        # A retry would be of a job that failed for a reason; a killed study goes on when it is run again.
        remote = ray.remote(num_cpus=cores, num_gpus=int(torch.cuda.is_available()), max_retries=0)(run_one)
        yield from map(ray.get, [remote.remote(run, job) for job in jobs])
    finally:
        ray.shutdown()


def run_one(run: Callable[[_Job], dict[str, Any]], job: _Job) -> dict[str, Any]:
    """What Ray calls."""
    return run(job)

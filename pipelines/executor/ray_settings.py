"""What a run sets in Ray and Python for itself, and gives back: it is not alone in its process."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray.data
from ray.util.annotations import RayDeprecationWarning

from pipelines.executor.ray_internals import StageWatch

NO_PROGRESS_TIMEOUT_S = 1800.0
# Units at an actor, for each that it works on at once, from which a pool grows. Ray's own 1.75 is
# beyond what actors of two calls and one unit that waits can reach: their pools never grew.
GROW_FROM_USE = 1.25
# Of all resources, what Ray keeps apart for stages, in equal parts. Beside its own half and a pool
# of three quarters of the CPUs, no write task began before the last unit was loaded.
RESERVED_SHARE = 0.3
_LOGGERS = ("ray", "ray.data")
_LEVEL = "RAY_BACKEND_LOG_LEVEL"


@contextmanager
def own_data_context(timeout_s: float) -> Iterator[ray.data.DataContext]:
    """Ray Data's settings for a stream of ours, in the place of the process's own.

    Args:
        timeout_s: longest call of a stage on one unit.
    """
    context = copy.deepcopy(ray.data.DataContext.get_current())
    context.enable_progress_bars = False
    context.custom_execution_callback_classes = [StageWatch]
    context.print_on_execution_start = False
    context.target_max_block_size = None  # a unit must stay one block
    context.max_errored_blocks = -1  # the commit log finds what was dropped
    context.op_resource_reservation_ratio = min(
        RESERVED_SHARE, context.op_resource_reservation_ratio
    )
    # all pools at once, and the first units meanwhile: to wait for each is to wait for their sum
    context.wait_for_min_actors_s = -1
    context.max_consecutive_actor_init_deaths = 0  # a stage that is not built here never will be
    scaling = context.autoscaling_config
    scaling.actor_pool_util_upscaling_threshold = min(
        GROW_FROM_USE, scaling.actor_pool_util_upscaling_threshold
    )
    # our own watchdog must come first: it costs one unit, Ray's limit the whole run
    context.execution_no_progress_timeout_s = max(NO_PROGRESS_TIMEOUT_S, 3 * timeout_s)
    with ray.data.DataContext.current(context):
        yield context


@contextmanager
def quiet(verbose: bool = False) -> Iterator[None]:
    """Ray and its workers keep what they have to say to themselves, unless asked: what matters of
    it is said again, in one line, by the run itself."""
    loggers = {name: logging.getLogger(name) for name in _LOGGERS}
    levels = {name: logger.level for name, logger in loggers.items()}
    # max_restarts has no named parameter in this release
    told = ("ignore", None, RayDeprecationWarning, None, 0)
    warnings.filters.insert(0, told)  # type: ignore[attr-defined] # a list, whatever its type says
    try:
        if not verbose:
            for logger in loggers.values():
                logger.setLevel(logging.CRITICAL)
        yield
    finally:
        if told in warnings.filters:
            warnings.filters.remove(told)  # type: ignore[attr-defined]
        for name, logger in loggers.items():
            logger.setLevel(levels[name])


@contextmanager
def log_level(verbose: bool) -> Iterator[None]:
    """How much the processes write that Ray starts now, where the user's environment does not
    say."""
    if _LEVEL in os.environ:
        yield
        return
    os.environ[_LEVEL] = "info" if verbose else "fatal"
    try:
        yield
    finally:
        os.environ.pop(_LEVEL, None)

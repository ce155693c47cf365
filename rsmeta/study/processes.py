"""A process for each piece of work: memory is counted from zero, and nothing leaks to the next."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from rsmeta.errors import RsmetaError, StudyError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_PRELOADED = ["rsmeta.finetuning", "rsmeta.run_results"]


def in_new_process(
    what: str,
    work: Callable[_Parameters, _Result],
    *arguments: _Parameters.args,
    **named: _Parameters.kwargs,
) -> _Result:
    """Call a function in a new process.

    Args:
        what: Name of the work in messages.
        work: A function of a module.
        *arguments: Its arguments; they and its result can be pickled.
        **named: Those by name, likewise.

    Raises:
        StudyError: It failed, or its process was killed.
    """
    # Processes fork from one that has imported what all of them need, and has run nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__, *_PRELOADED])
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(work, *arguments, **named).result()
        except RsmetaError as error:
            raise StudyError(f"{what}: {error}") from error
        except BrokenProcessPool as error:
            raise StudyError(f"{what}: its process ended without a result") from error

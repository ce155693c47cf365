"""Processes that fork from one that has imported much and run nothing."""

from multiprocessing import get_context

_PRELOADED = ["rsmeta.finetuning", "rsmeta.run_results", "rsmeta.scenes"]


def forking_context():
    """The first to start a process has a say in what is imported: it is the same for all."""
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context

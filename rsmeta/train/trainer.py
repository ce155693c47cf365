"""Assembly of Lightning's trainer, and the one place where everything is seeded."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from rsmeta.errors import RecipeError
from rsmeta.recipe import Compute, Recipe


class ExplicitStrategy(DDPStrategy):
    """Distributed data parallel without a wrapper around the model.

    The wrapper averages gradients that pass through its own forward alone. Here both loops average
    theirs themselves, see `rsmeta.data.processes`.
    """

    def configure_ddp(self) -> None:
        """Leave the model as it is."""


def build_trainer(
    recipe: Recipe, callbacks: Sequence[L.Callback], *, distributed: bool = False
) -> L.Trainer:
    """A trainer that keeps our samplers, writes no files of its own and is deterministic.

    Args:
        recipe: The recipe.
        callbacks: What Lightning is to call.
        distributed: Whether to use all of the recipe's devices, or one.

    Raises:
        RecipeError: This machine has no such devices.
    """
    compute = recipe.compute
    require_accelerator(compute)
    with quiet_lightning():
        return L.Trainer(
            accelerator=compute.accelerator,
            devices=compute.devices if distributed else 1,
            num_nodes=compute.num_nodes if distributed else 1,
            strategy=ExplicitStrategy() if distributed else "auto",
            max_epochs=recipe.inner.epochs,
            reload_dataloaders_every_n_epochs=1,  # epochs differ in length
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            deterministic=True,
        )


def require_accelerator(compute: Compute) -> None:
    """Check that there is a GPU where the recipe asks for one.

    Raises:
        RecipeError: There is none.
    """
    if compute.accelerator != "gpu":
        return
    if not (CUDAAccelerator.is_available() or MPSAccelerator.is_available()):
        raise RecipeError(
            [
                "compute.accelerator: gpu: torch finds no GPU on this machine; set it to auto, "
                "which takes one where there is one, or to cpu"
            ]
        )


def slow_precision(compute: Compute, device: torch.device) -> str | None:
    """A line where the precision makes training slower instead of faster; None elsewhere.

    Args:
        compute: What the recipe asks for.
        device: What the training runs on.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if compute.precision != "bfloat16" or device.type != "cpu" or capability != "AVX2":
        return None
    return (
        "compute.precision bfloat16: this processor has no instructions for it and takes many "
        "times as long as with float32; set it to float32, or train on a GPU"
    )


def follows(recipe: Recipe) -> bool:
    """Whether another process leads this distributed run: this one trains along, writes nothing."""
    rank: int = getattr(rank_zero_only, "rank", 0)  # by Lightning, from torchrun's or SLURM's words
    return recipe.compute.processes > 1 and rank > 0


def start_at(trainer: L.Trainer, epoch: int, steps: int) -> None:
    """Let training begin later, with the epochs and steps before counted as done.

    Args:
        trainer: The trainer.
        epoch: The epoch to begin with, from 0; its loader leaves out what was used of it already.
        steps: Inner steps before.
    """
    loop = trainer.fit_loop
    done = dict.fromkeys(("ready", "started", "processed", "completed"), epoch)
    loop.epoch_progress.load_state_dict({"current": done, "total": done})
    taken = loop.epoch_loop.manual_optimization.optim_step_progress.total
    taken.ready = taken.completed = steps


def fit(trainer: L.Trainer, module: L.LightningModule, datamodule: L.LightningDataModule) -> None:
    """Train; an interruption by the keyboard is one here too.

    Raises:
        KeyboardInterrupt: In the place of the exit that Lightning makes of it.
    """
    try:
        with quiet_lightning():
            trainer.fit(module, datamodule)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


def seed_everything(seed: int) -> None:
    """Seed all global sources of random numbers; data order has seeded generators of its own."""
    with quiet_lightning():
        L.seed_everything(seed, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips and device lists out of the user's terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*no logger configured.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        logger.setLevel(level)

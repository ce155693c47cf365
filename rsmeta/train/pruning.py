"""Pruning while training: every so many epochs, the sites that contribute least are dropped."""

import lightning as L

from rsmeta.peft.pruning import sites_left
from rsmeta.recipe import Pruning
from rsmeta.train.module import FinetuningModule


class PruneWhileTraining(L.Callback):
    """Drops sites at the end of epochs, but not of the last one.

    Lightning calls it before the module writes the epoch down.

    Args:
        config: The recipe's section.
        sites: Number of sites at the start.
    """

    def __init__(self, config: Pruning, sites: int) -> None:
        self._config = config
        self._sites = sites

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Drop sites if it is time to."""
        assert isinstance(pl_module, FinetuningModule)
        assert trainer.max_epochs is not None
        events = self._config.events(trainer.max_epochs)
        event, rest = divmod(trainer.current_epoch + 1, self._config.every)
        if rest == 0 and event <= events:
            pl_module.prune(sites_left(self._sites, self._config.keep, event, events))

"""Counting epochs inside a model, as ESPnet's trainer does not tell it which one runs."""

from functools import partial
from typing import Any

from torch import nn

EPOCH_KEY = "otreg_epoch"  # lives in the state dict's metadata: the keys stay the stock model's


class EpochCount:
    """The epoch a model is in, from 1; kept in its checkpoints, so that it survives a resume."""

    def __init__(self, model: nn.Module) -> None:
        self.epoch = 0
        self._inside = False
        model.register_state_dict_post_hook(partial(self._write))  # takes no bound method
        model.register_load_state_dict_pre_hook(self._read)

    def look(self, training: bool) -> None:
        """Note a batch: an epoch begins with the first one for training after validation."""
        if training and not self._inside:
            self.epoch += 1
        self._inside = training

    def _write(self, model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
        metadata[EPOCH_KEY] = self.epoch

    def _read(self, model: nn.Module, state: dict, prefix: str, metadata: dict, *_: Any) -> None:
        self.epoch = metadata.get(EPOCH_KEY, 0)
        self._inside = False

"""What our models need of Lightning that ESPnet's own trainer gives by itself.

- The epoch. A model counts them by validation's ends, and Lightning may validate within an epoch.
- The mode. Lightning trains in the mode it finds, and a new module is in training mode throughout:
  dropout would be at work in a frozen base model.
- The average. ESPnet3 averages before Lightning has saved the newest checkpoint, so that its last
  one lacks the last epoch, and of a single epoch there is none. It is made once more at the end,
  and linked under the name it has in ESPnet2, such as `valid.acc.ave.pth`.
- The start. A training from a checkpoint of an earlier phase (`init_param`), as in ESPnet2.
- The record. `run.json`, which tables quote.
"""

import dataclasses
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from espnet3.components.callbacks.default_callbacks import AverageCheckpointsCallback
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf

from espnet_otreg.models.transport_term import tell_epoch
from espnet_otreg.pretrained.bases import is_frozen
from espnet_otreg.tasks import table_adapter
from espnet_otreg.tasks.run_record import Record, recording
from espnet_otreg.weights import read_weights

CALLBACK = "espnet_otreg.espnet3.training.Phase"


class Phase(Callback):
    """One training of a model; `OTRegSystem` adds it to `trainer.callbacks`."""

    record: Record | None = None  # where the counts go; set by `recorded`

    def __init__(self, init_param: Sequence[str] = ()) -> None:
        """Take what to start from, each as `path:source:target:left out` or the path alone."""
        self.init_param = list(init_param)
        self.steps = self.not_finite = 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Put earlier weights in, before a checkpoint to be resumed takes their place."""
        if stage != "fit":
            return
        rows = self.init_param
        if (part := getattr(pl_module.model, table_adapter.PART, None)) is not None:
            conf = dataclasses.asdict(pl_module.model.slm_conf)
            rows = table_adapter.starts(rows, conf, is_frozen(part))
        for given in rows:
            read_weights(Path(given.split(":", 1)[0]))  # tensors alone, or nothing is loaded
            load_pretrained_model(given, pl_module.model, False, map_location="cpu")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Let the model say which of its parts train."""
        pl_module.model.train()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Tell the epoch."""
        tell_epoch(pl_module.model, trainer.current_epoch + 1)
        self.steps, self.not_finite = trainer.global_step, 0

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count batches whose loss was not finite: ESPnet3 returns none of them."""
        self.not_finite += not outputs

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the epoch's updates."""
        if self.record is not None:
            taken = trainer.global_step - self.steps
            skipped = min(self.not_finite, taken)
            self.record.note_epoch(trainer.current_epoch + 1, taken, skipped)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Average the best checkpoints, all of which are there now."""
        for callback in trainer.callbacks:
            if trainer.is_global_zero and isinstance(callback, AverageCheckpointsCallback):
                callback.on_validation_end(trainer, pl_module)
                for best in callback.best_ckpt_callbacks:
                    _link(Path(callback.output_dir), best.monitor, len(best.best_k_models))


def _link(folder: Path, monitor: str, averaged: int) -> None:
    """Name the average of so many checkpoints as ESPnet2 does."""
    name = monitor.replace("/", ".")
    target = folder / f"{name}.ave_{averaged}best.pth"
    if target.is_file():
        link = folder / f"{name}.ave.pth"
        beside = folder / f".{name}.{os.getpid()}.tmp"
        beside.symlink_to(target.name)
        beside.replace(link)


def with_phase(config: DictConfig) -> None:
    """Add the callback to a training's configuration, unless it is named there."""
    callbacks = config.trainer.get("callbacks") or []
    if all(each.get("_target_") != CALLBACK for each in callbacks):
        own = {"_target_": CALLBACK, "init_param": list(config.get("init_param") or [])}
        config.trainer.callbacks = ListConfig([*callbacks, OmegaConf.create(own)])


@contextmanager
def recorded(config: DictConfig) -> Iterator[None]:
    """Keep `run.json` in the experiment's folder while the body trains."""
    resumed = bool((config.get("fit") or {}).get("ckpt_path"))
    options = Namespace(
        output_dir=str(config.exp_dir),
        resume=resumed,
        ngpu=int(config.num_device) if torch.cuda.is_available() else 0,
        seed=config.get("seed"),
        max_epoch=config.trainer.get("max_epochs"),
        dist_rank=None,
        collect_stats=False,
        dry_run=False,
    )
    with recording(options) as record:
        Phase.record = record
        try:
            yield
        finally:
            Phase.record = None

"""Importing this module adds the package's parts to ESPnet's ASR task.

ESPnet has no plugin mechanism, and workers spawned for multi-GPU training import only `__main__`
and the task's module: so registration happens on import, never inside a `main()`.
"""

import argparse

from espnet_otreg.compat import asr_task
from espnet_otreg.models.adapter import TransferAdapter
from espnet_otreg.models.lm_cache import check_features
from espnet_otreg.models.otreg import OTRegASRModel
from espnet_otreg.models.transfer import FEATURES, OTTransferASRModel
from espnet_otreg.tasks.run_record import recording

PARTS: dict[str, dict[str, type]] = {  # registry of espnet2.tasks.asr -> name in YAML -> class
    "model_choices": {"otreg": OTRegASRModel, "ot_transfer": OTTransferASRModel},
    "postencoder_choices": {"transfer_adapter": TransferAdapter},
}


def register() -> None:
    """Add every part to ESPnet's registries; harmless when repeated, never replaces another's."""
    for registry, parts in PARTS.items():
        choices = getattr(asr_task, registry)
        for name, part in parts.items():
            if choices.base_type is not None and not issubclass(part, choices.base_type):
                raise TypeError(f"{part} must be a subclass of {choices.base_type}")
            present = choices.classes.get(name)
            if present is not None and present is not part:
                raise RuntimeError(
                    f"--{choices.name} {name} is already taken by {present}: "
                    "another plugin registered the same name"
                )
            choices.classes[name] = part


register()


class ASRTask(asr_task.ASRTask):
    """ESPnet's ASR task; being defined here, its workers import this module and so register."""

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Let batches carry features of the transcript, for `model: ot_transfer`."""
        return (*super().optional_data_names(train, inference), FEATURES)

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train as ESPnet does, and leave `run.json` beside the model."""
        if args.model == "ot_transfer":
            check_text_features(args)
        with recording(args):
            super().main_worker(args)


def check_text_features(args: argparse.Namespace) -> None:
    """Refuse cached features of another language model or of another text than is trained on."""
    conf = args.model_conf.get("transfer_conf") or {}
    lm = conf.get("language_model") if isinstance(conf, dict) else None  # the model refuses others
    for data in (
        args.train_data_path_and_name_and_type,
        args.valid_data_path_and_name_and_type,
    ):
        paths = {name: path for path, name, _ in data}
        if FEATURES in paths and "text" in paths:
            check_features(paths[FEATURES], lm, paths["text"])

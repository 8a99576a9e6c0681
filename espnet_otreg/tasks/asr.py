"""Importing this module adds the package's parts to ESPnet's ASR task.

ESPnet has no plugin mechanism, and workers spawned for multi-GPU training import only `__main__`
and the task's module: so registration happens on import, never inside a `main()`.
"""

import argparse

from espnet_otreg.compat import asr_task
from espnet_otreg.models.otreg import OTRegASRModel
from espnet_otreg.tasks.run_record import recording

PARTS: dict[str, dict[str, type]] = {  # registry of espnet2.tasks.asr -> name in YAML -> class
    "model_choices": {"otreg": OTRegASRModel},
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
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train as ESPnet does, and leave `run.json` beside the model."""
        with recording(args):
            super().main_worker(args)

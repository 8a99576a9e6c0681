"""The stages of a recipe of ESPnet3 with our models: its own, and at the end ours.

from espnet3.systems.launch import launch
from espnet_otreg.espnet3.system import OTRegSystem

launch(OTRegSystem, conf_package="egs3.TEMPLATE.esp2_asr")
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from espnet3.contract.stages import StageSpec
from espnet3.systems.esp2_asr.system import ASRSystem
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from espnet_otreg.espnet3 import words
from espnet_otreg.espnet3.training import recorded, with_phase
from espnet_otreg.files import write_lines
from espnet_otreg.stages import compare, report, slm_tokens

OURS = (
    StageSpec(name="compare", config="metrics", log_dir="inference_dir"),
    StageSpec(name="report", config="metrics", log_dir="inference_dir"),
)
AFTER = "measure"


def with_ours(stages: tuple[StageSpec, ...]) -> tuple[StageSpec, ...]:
    """Put our stages behind the one that scores."""
    place = [spec.name for spec in stages].index(AFTER) + 1
    return (*stages[:place], *OURS, *stages[place:])


class OTRegSystem(ASRSystem):
    """ESPnet3's ASR system; a stage without change is ESPnet3's."""

    stages: ClassVar[tuple[StageSpec, ...]] = with_ours(ASRSystem.stages)

    def train_tokenizer(self, *args: Any, **kwargs: Any) -> None:
        """Train SentencePiece or, with `tokenizer.lm`, cut answers into its pieces."""
        tokenizer = self.training_config.tokenizer
        if not tokenizer.get("lm"):
            super().train_tokenizer(*args, **kwargs)
        elif not self._has_tokenizer():
            self._reject_stage_args("train_tokenizer", args, kwargs)
            data = list(tokenizer.data)
            given = {"lm": tokenizer.lm, "data": data, "output": tokenizer.save_path}
            slm_tokens.main(words({**given, "answer": tokenizer.get("answer")}))

    def _has_tokenizer(self) -> bool:
        tokenizer = self.training_config.tokenizer
        if not tokenizer.get("lm"):
            return super()._has_tokenizer()
        return (Path(tokenizer.save_path) / "vocabulary.txt").is_file()  # the last one written

    def collect_stats(self, *args: Any, **kwargs: Any) -> None:
        """Collect as ESPnet3 does; of `model: slm` count alone, for it has no statistics."""
        if self.training_config.model.get("model") != "slm":
            super().collect_stats(*args, **kwargs)
            return
        self._reject_stage_args("collect_stats", args, kwargs)
        write_shapes(self.training_config)

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Train as ESPnet3 does, with the epoch told, `init_param` read and a record kept."""
        with_phase(self.training_config)
        with recorded(self.training_config):
            super().train(*args, **kwargs)

    def compare(self, *args: Any, **kwargs: Any) -> None:
        """Compare scored experiments, by the options that `compare` of the metrics holds."""
        self._reject_stage_args("compare", args, kwargs)
        compare.main(words(self._options("compare")))

    def report(self, *args: Any, **kwargs: Any) -> None:
        """Write the page of them, by the options that `report` of the metrics holds."""
        self._reject_stage_args("report", args, kwargs)
        options = self._options("report")
        report.main([*map(str, options.pop("systems", [])), *words(options)])

    def _options(self, stage: str) -> dict[str, Any]:
        """Return a stage's options; unless one is named, the decoding is this experiment's."""
        told = f"metrics_config.{stage} must hold the options of stages/{stage}: systems, output …"
        given = self._get_required_config(self.metrics_config, stage, told)
        options = OmegaConf.to_container(given, resolve=True)
        assert isinstance(options, dict)
        return {"decode_tag": Path(self.metrics_config.inference_dir).name, **options}


def write_shapes(config: DictConfig) -> None:
    """Write what ESPnet3 batches by, from counts of the data directories: no audio, no model.

    As `collect_stats` does, under the places that utterances have in the joined set.
    """
    organizer = instantiate(config.dataset)
    sets: Mapping[str, Any] = {"train": organizer.train, "valid": organizer.valid}
    for mode, joined in sets.items():
        lengths = [each for dataset in joined.datasets for each in dataset.lengths()]
        folder = Path(config.stats_dir) / mode
        for i, name in enumerate(("speech_shape", "text_shape")):
            rows = (f"{place} {counts[i]}" for place, counts in enumerate(lengths))
            write_lines(folder / name, rows)

"""Importing this module adds the package's parts to ESPnet's ASR task.

ESPnet has no plugin mechanism, and workers spawned for multi-GPU training import only `__main__`
and the task's module: so registration happens on import, never inside a `main()`.
"""

import argparse
from pathlib import Path

import torch
from espnet2.train.trainer import Trainer

from espnet_otreg.compat import ESPnetASRModel, asr_task
from espnet_otreg.errors import UserError
from espnet_otreg.models.adapters import ConvAdapter, StackAdapter, TransferAdapter
from espnet_otreg.models.distil import open_guesser
from espnet_otreg.models.otreg import OTRegASRModel
from espnet_otreg.models.slm import SLMModel
from espnet_otreg.models.teacher import FEATURES
from espnet_otreg.models.transfer import OTTransferASRModel
from espnet_otreg.pretrained.bases import HASHES, BaseWeights, freeze
from espnet_otreg.pretrained.causal_lm import CausalLM, embedding_size
from espnet_otreg.pretrained.espnet_speech import ESPnetSpeechEncoder
from espnet_otreg.pretrained.feature_cache import FEATURES_JSON
from espnet_otreg.pretrained.hf_frontend import HFSpeechFrontend
from espnet_otreg.pretrained.hf_speech import HFSpeechEncoder
from espnet_otreg.pretrained.lm_features import check_features
from espnet_otreg.pretrained.speech_features import check_speech_features, source_of
from espnet_otreg.tasks import table_adapter
from espnet_otreg.tasks.causes import told_by_spawned
from espnet_otreg.tasks.run_record import recording
from espnet_otreg.tasks.trainer import WholeTrainer
from espnet_otreg.weights import fill, read_any_names, read_checkpoint, tensors_only

SLM_DATA = ("language", "transcript")
OUT_OF_MEMORY = (
    "the GPU's memory is full: lower batch_size or batch_bins and raise accum_grad by as much; for "
    "model slm also decoder_conf.gradient_checkpointing: true, decoder_conf.dtype: bfloat16, or "
    "speech frames cached by espnet_otreg.stages.speech_features"
)

PARTS: dict[str, dict[str, type]] = {  # registry of espnet2.tasks.asr -> name in YAML -> class
    "model_choices": {
        "otreg": OTRegASRModel,
        "ot_transfer": OTTransferASRModel,
        "slm": SLMModel,
    },
    "frontend_choices": {"hf_speech": HFSpeechFrontend},
    "encoder_choices": {"hf_speech": HFSpeechEncoder, "espnet_speech": ESPnetSpeechEncoder},
    "postencoder_choices": {
        "transfer_adapter": TransferAdapter,
        "stack_adapter": StackAdapter,
        "conv_adapter": ConvAdapter,
    },
    "decoder_choices": {"causal_lm": CausalLM},
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
        """Let batches carry what `ot_transfer` and `slm` read besides speech and text."""
        return (*super().optional_data_names(train, inference), FEATURES, *SLM_DATA)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """Build as ESPnet does; the adapter of `slm` is made as wide as the language model."""
        if args.decoder == "causal_lm" and args.postencoder in ("stack_adapter", "conv_adapter"):
            if not args.decoder_conf.get("model"):
                raise UserError("decoder_conf.model must name a language model: folder or hub name")
            if args.postencoder_conf.get("output_size") is None:
                conf = args.decoder_conf
                size = embedding_size(conf["model"], conf.get("trust_remote_code", False))
                args.postencoder_conf = {**args.postencoder_conf, "output_size": size}
        model = super().build_model(args)
        read_any_names(model.encoder)  # of init_param, and of a training that goes on
        if hasattr(model.frontend, "base") and not hasattr(model, HASHES):
            BaseWeights(model, {"frontend": model.frontend})  # its hooks hold it
        freeze(model, getattr(args, "freeze_param", None) or [], "--freeze_param")
        if isinstance(model, OTTransferASRModel):
            for path, name, _ in getattr(args, "train_data_path_and_name_and_type", None) or ():
                if name == FEATURES:
                    model.teacher.cached = Path(path)
        return model

    @classmethod
    def build_model_from_file(
        cls,
        config_file: Path | str | None = None,
        model_file: Path | str | None = None,
        device: str = "cpu",
    ) -> tuple[ESPnetASRModel, argparse.Namespace]:
        """Build as ESPnet does; of the checkpoint tensors alone are read, so nothing in it runs."""
        if config_file is None:
            if model_file is None:
                raise UserError("a model is built from its config.yaml: name one, or a checkpoint")
            config_file = Path(model_file).parent / "config.yaml"
        with tensors_only():  # for files that a part of the model opens by itself
            model, options = super().build_model_from_file(config_file, None, device)
        if model_file is not None:
            fill(model, Path(model_file))
        return model, options

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train as ESPnet does, and leave `run.json` beside the model."""
        # DeepSpeed's trainer takes ESPnet's place alone, and has files and a resume of its own
        cls.trainer = Trainer if getattr(args, "use_deepspeed", False) else WholeTrainer
        with told_by_spawned(args):
            if args.model == "ot_transfer":
                check_text_features(args)
            if args.model == "slm" or args.frontend == "hf_speech":  # others may read any frames
                check_cached_frames(args)
            for row in getattr(args, "init_param", None) or ():  # path:source:target:left out
                read_checkpoint(Path(row.split(":", 1)[0]))  # ESPnet runs what is pickled there
            if args.model == "slm":
                check_table_adapter(args)
            try:
                with recording(args) as record:
                    WholeTrainer.record = record
                    super().main_worker(args)
            except torch.OutOfMemoryError as error:
                raise UserError(OUT_OF_MEMORY) from error


def check_cached_frames(args: argparse.Namespace) -> None:
    """Refuse cached frames of another encoder, or of another layer, than the configuration's."""
    names = ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type")
    data = [row for name in names for row in getattr(args, name, ())]
    speech = [path for path, kind, _ in data if kind == "speech"]
    cached = [path for path in speech if (Path(path).parent / FEATURES_JSON).is_file()]
    if cached:
        part = "frontend" if args.frontend == "hf_speech" else "encoder"
        kind, conf = getattr(args, part), getattr(args, f"{part}_conf")
        source = source_of(kind, conf)  # hashes the weights: once for all
        for path in cached:
            check_speech_features(path, *source)


def check_table_adapter(args: argparse.Namespace) -> None:
    """See to it that an adapter for the table alone starts as an earlier phase left it."""
    conf = args.model_conf.get("slm_conf")
    if not isinstance(conf, dict) or conf.get("table_adapter") != "own":
        return  # the model refuses what is no mapping
    given = getattr(args, "freeze_param", None) or ()
    if any(name.split(".")[0] == table_adapter.PART for name in given):
        raise UserError("--freeze_param table_adapter: expected it in slm_conf.freeze")
    frozen = table_adapter.PART in (conf.get("freeze") or ())
    args.init_param = table_adapter.starts(args.init_param, conf, frozen)


def check_text_features(args: argparse.Namespace) -> None:
    """Refuse cached features of another language model or of another text than is trained on."""
    conf = args.model_conf.get("transfer_conf") or {}
    lm = conf.get("language_model") if isinstance(conf, dict) else None  # the model refuses others
    teacher = lm
    for data in (
        args.train_data_path_and_name_and_type,
        args.valid_data_path_and_name_and_type,
    ):
        paths = {name: path for path, name, _ in data}
        if FEATURES in paths and "text" in paths:
            teacher = check_features(paths[FEATURES], lm, paths["text"]).lm
    if teacher and isinstance(conf, dict) and conf.get("distil_weight"):
        open_guesser(lm or teacher)  # now, not in the first step

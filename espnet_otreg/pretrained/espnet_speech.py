"""`encoder: espnet_speech`: the frozen half of a speech language model, trained by ESPnet itself.

Takes frontend, normalisation and encoder of an experiment of ESPnet's ASR task, fed with waveforms
(`frontend: null`, `input_size: 1`); SpecAugment, decoder and CTC stay behind.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.encoder.conformer_encoder import TooShortUttError
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.configuration import options_of
from espnet_otreg.errors import UserError
from espnet_otreg.ot.options import check_options, option, required
from espnet_otreg.ot.tensors import full_precision
from espnet_otreg.pretrained.bases import CHECKPOINT, Base, file_hash
from espnet_otreg.weights import named_as_in, read_weights, tensors_only

KEPT = ("frontend", "normalize", "preencoder", "encoder")


def experiment_base(experiment: str, checkpoint: str = CHECKPOINT) -> Base:
    """Fingerprint an experiment's encoder.

    Of config.yaml only what defines the kept parts counts: it holds paths too, which change when
    a folder is moved. Statistics of the normalisation are in the checkpoint.
    """
    config, weights = _files(experiment, checkpoint)
    options = _read(config)
    parts = {key: options.get(key) for name in KEPT for key in (name, f"{name}_conf")}
    statistics = {**(parts["normalize_conf"] or {}), "stats_file": None}
    listing = json.dumps({**parts, "normalize_conf": statistics}, sort_keys=True)
    listing += f"\n{file_hash(weights)}"
    return Base(experiment, hashlib.sha256(listing.encode()).hexdigest())


@dataclass(frozen=True)
class ESPnetSpeechConf:
    """The encoder of an experiment of ESPnet's ASR task."""

    experiment: str = required("folder with config.yaml and the checkpoint")
    checkpoint: str = option(CHECKPOINT, "its name in the folder")
    layer: int | None = option(
        None, "return the output of this block, from 1, in place of the top's; those above it are "
        "not computed",
    )  # fmt: skip
    batched: bool = option(
        False, "encode a padded batch in one go, where frames near an utterance's end depend on "
        "the padding, since ESPnet's convolutional encoders read it; false: one by one",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)


class ESPnetSpeechEncoder(AbsEncoder):
    """Frontend, normalisation and encoder of a trained recogniser.

    Takes `input_size`, which is 1, of waveforms, and not used, and the options of
    `ESPnetSpeechConf`.
    """

    @options_of(ESPnetSpeechConf, "encoder_conf")
    def __init__(self, input_size: int, conf: ESPnetSpeechConf) -> None:
        super().__init__()
        self.base = experiment_base(conf.experiment, conf.checkpoint)
        self.layer, self.batched = conf.layer, conf.batched
        config, self._weights = _files(conf.experiment, conf.checkpoint)
        model = _build(config)
        self.frontend, self.normalize = model.frontend, model.normalize
        self.preencoder, self.encoder = model.preencoder, model.encoder
        if self.frontend is None:
            raise UserError(
                f"{config} has no frontend: it was trained on features, and encoder: espnet_speech "
                "is given waveforms; train with a frontend, such as default"
            )
        conditioned = getattr(self.encoder, "interctc_use_conditioning", False)
        self.ctc = model.ctc if conditioned else None  # its guesses are fed to later blocks
        if conf.layer is not None:
            self._cut(conf.layer, config)
        self.reload_pretrained_parameters()

    def output_size(self) -> int:
        """D."""
        return self.encoder.output_size()

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        """Encode speech.

        Args:
            xs_pad: (B, samples)
            ilens: (B,)
            prev_states: ESPnet's streaming encoders', not used

        Returns: frames (B, T, D), lengths (B,), None
        """
        if xs_pad.dim() != 2:
            raise UserError(
                f"encoder: espnet_speech takes waveforms (utterances, samples), got "
                f"{tuple(xs_pad.shape)}: set frontend: null, specaug: null, normalize: null"
            )
        if self.batched:
            return *self._encode(xs_pad, ilens), None
        frames, lengths = [], []
        for row, length in enumerate(ilens.tolist()):
            x, n = self._encode(xs_pad[row : row + 1, :length], ilens[row : row + 1])
            frames.append(x[0])
            lengths.append(n)
        return pad_sequence(frames, batch_first=True), torch.cat(lengths), None

    def reload_pretrained_parameters(self) -> None:
        """Load the weights, also after ESPnet's `init`, which draws every one anew."""
        state = named_as_in(read_weights(self._weights), self.state_dict())
        missing = sorted(self.state_dict().keys() - state.keys())
        if missing:
            raise UserError(
                f"{self._weights} lacks {len(missing)} weights that its config.yaml asks for, "
                f"first {missing[0]}: they would be random; name the checkpoint of this experiment"
            )
        self.load_state_dict({name: state[name] for name in self.state_dict()})

    def _encode(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Do what ESPnet's model does without augmentation."""
        with full_precision(speech.device):
            x, lengths = self.frontend(speech[:, : int(lengths.max())], lengths)
            if self.normalize is not None:
                x, lengths = self.normalize(x, lengths)
        if self.preencoder is not None:
            x, lengths = self.preencoder(x, lengths)
        options = {} if self.ctc is None else {"ctc": self.ctc}
        seen: list[Any] = []
        hook = None
        if self.layer is not None:
            last = self.encoder.encoders[-1]
            hook = last.register_forward_hook(lambda block, given, output: seen.append(output))
        try:
            x, lengths, _ = self.encoder(x, lengths, **options)
        except TooShortUttError as error:
            raise UserError(
                f"an utterance makes {error.actual_size} frames, and {self.base.name} needs more "
                f"than {error.limit}: leave out what is shorter (min_wav_duration)"
            ) from error
        finally:
            if hook is not None:
                hook.remove()
        found = seen[0] if seen else x
        while isinstance(found, tuple):  # a block's ((frames, positions), mask)
            found = found[0]
        return found, lengths

    def _cut(self, layer: int, config: Path) -> None:
        blocks = getattr(self.encoder, "encoders", None)
        if blocks is None:
            raise UserError(
                f"encoder_conf.layer: {type(self.encoder).__name__} of {config} has no list of "
                "blocks to choose from: leave layer out"
            )
        if not 1 <= layer <= len(blocks):
            raise UserError(
                f"encoder_conf.layer must be between 1 and {len(blocks)}, the blocks of {config}, "
                f"got {layer}"
            )
        self.encoder.encoders = blocks[:layer]


def _files(experiment: str, checkpoint: str) -> tuple[Path, Path]:
    folder = Path(experiment)
    for path in (folder / "config.yaml", folder / checkpoint):
        if not path.is_file():
            raise UserError(
                f"{path} does not exist: encoder_conf.experiment must name the folder of a trained "
                "ESPnet ASR experiment, with config.yaml and the checkpoint; stage 11 of "
                "run_slm.sh trains the miniature one"
            )
    return folder / "config.yaml", folder / checkpoint


def _read(config: Path) -> dict[str, Any]:
    try:
        options = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{config} is not valid YAML ({error}); train again") from error
    if not isinstance(options, dict) or "encoder" not in options:
        raise UserError(f"{config} does not describe an ESPnet ASR experiment: it has no encoder")
    return options


def _build(config: Path) -> Any:
    """Build the model with random weights, which are read afterwards; no code of files is run.

    A model of this package is known to ESPnet's task where `espnet_otreg.tasks.asr` was imported.
    """
    from espnet_otreg.compat import asr_task  # late: where the hook watches, it imports this module

    try:
        with tensors_only():
            return asr_task.ASRTask.build_model_from_file(config, None, "cpu")[0]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"the model of {config} cannot be built ({error}): use the folder as its training "
            "left it, with the files that config.yaml names"
        ) from error

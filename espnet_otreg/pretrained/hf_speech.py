"""`encoder: hf_speech`: a pretrained speech encoder of Hugging Face, by folder or hub name.

Whisper's encoder, wav2vec2-BERT, wav2vec2, HuBERT and WavLM, fed with waveforms (`frontend: null`,
`input_size: 1`) through the checkpoint's own feature extractor. The frames of an utterance do not
depend on its neighbours in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor
from torch.nn.functional import dropout, gelu
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.configuration import options_of
from espnet_otreg.errors import UserError
from espnet_otreg.ot.options import check_options, option, required
from espnet_otreg.ot.tensors import full_precision, length_mask
from espnet_otreg.pretrained.bases import DTYPES, KeepsDtype
from espnet_otreg.pretrained.hf_checkpoint import (
    RATE,
    RAW,
    check_window,
    find,
    has_adapter,
    masks_padding,
    open_extractor,
    open_network,
    shortest,
    speech_base,
)

PADDINGS = ("longest", "full")


@dataclass(frozen=True)
class HFSpeechConf:
    """A pretrained speech encoder: Whisper, wav2vec2-BERT, wav2vec2, HuBERT or WavLM."""

    model: str = required("folder or hub name")
    layer: int | None = option(
        None, "return the output of this layer, from 1, in place of the top's; those above it are "
        "not computed",
    )  # fmt: skip
    dtype: str = option("float32", "of the weights", choices=tuple(DTYPES))
    padding: str = option(
        "longest", "of Whisper's input. longest: up to the longest utterance, with the padding "
        "masked; full: always up to 30 seconds, as it was trained, frames attending to the silence",
        choices=PADDINGS,
    )  # fmt: skip
    trust_remote_code: bool = option(False, "run Python code that comes with the model")
    attn_implementation: str | None = option(
        None, "passed on to transformers, such as sdpa or flash_attention_2"
    )

    def __post_init__(self) -> None:
        check_options(self)


class HFSpeechEncoder(KeepsDtype, AbsEncoder):
    """A pretrained encoder and its feature extractor.

    Takes `input_size`, which is 1, of waveforms, and not used, and the options of `HFSpeechConf`.
    """

    @options_of(HFSpeechConf, "encoder_conf")
    def __init__(self, input_size: int, conf: HFSpeechConf) -> None:
        super().__init__()
        trusted = conf.trust_remote_code
        self.base = speech_base(conf.model, trusted)
        self.layer, self.padding, self._dtype = conf.layer, conf.padding, DTYPES[conf.dtype]
        folder = find(conf.model, trusted)
        self.extractor = open_extractor(folder, trusted)
        self._open = partial(
            open_network, folder, conf.layer, self._dtype, conf.attn_implementation, trusted
        )
        self.network: Any = self._open()
        self.kind: str = self.network.config.model_type
        self._batched = masks_padding(self.network.config)
        self._shortest = shortest(self.network.config)
        if self.kind == "whisper":
            check_window(self.network, self.extractor)

    def output_size(self) -> int:
        """D."""
        config = self.network.config
        return config.output_hidden_size if has_adapter(config) else config.hidden_size

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        """Encode speech.

        Args:
            xs_pad: (B, samples) at 16 kHz
            ilens: (B,)
            prev_states: ESPnet's streaming encoders', not used

        Returns: frames (B, T, D) in float32, zero on padding, lengths (B,), None
        """
        samples = ilens.tolist()
        self._check_samples(xs_pad, samples)
        speech = xs_pad.detach().float().cpu().numpy()
        waves = [row[:length] for row, length in zip(speech, samples, strict=True)]
        if self._batched:
            frames, lengths = self._encode(waves)
        else:
            alone = [self._encode([wave]) for wave in waves]
            lengths = torch.cat([length for _, length in alone])
            frames = pad_sequence([frame[0] for frame, _ in alone], batch_first=True)
        lengths = lengths.to(ilens.device)
        frames = frames[:, : int(lengths.max())].float()
        mask = length_mask(lengths, frames.shape[1]).to(frames.device)
        return frames.masked_fill(~mask[:, :, None], 0.0), lengths, None

    def reload_pretrained_parameters(self) -> None:
        """Undo ESPnet's `init`, which draws every weight anew; ESPnet calls this after it."""
        self.network.load_state_dict(self._open().state_dict())

    def _check_samples(self, xs_pad: Tensor, samples: Sequence[int]) -> None:
        if xs_pad.dim() != 2:
            raise UserError(
                f"encoder: hf_speech takes waveforms (utterances, samples), got "
                f"{tuple(xs_pad.shape)}: set frontend: null, specaug: null, normalize: null"
            )
        if min(samples) < self._shortest:
            raise UserError(
                f"an utterance has {min(samples)} samples, and {self.base.name} makes a frame of "
                f"{self._shortest} or more: leave out what is shorter (min_wav_duration)"
            )
        if self.kind == "whisper" and max(samples) > self.extractor.n_samples:
            raise UserError(
                f"an utterance lasts {max(samples) / RATE:.1f} s, and {self.base.name} takes "
                f"{self.extractor.n_samples / RATE:g} s at most: leave out what is longer with "
                f"max_wav_duration {self.extractor.n_samples / RATE:g}"
            )

    def _encode(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Return frames (B, T', D), T' possibly beyond the longest, and lengths (B,)."""
        if self.kind == "whisper":
            return self._encode_window(waves)
        given = self.extractor(
            waves, sampling_rate=RATE, padding=True, return_attention_mask=True, return_tensors="pt"
        )
        name = self.network.main_input_name
        inputs, mask = given[name].to(self._device, self._dtype), given.attention_mask
        if not self._batched:
            if self.kind not in RAW:
                inputs = inputs[:, : int(mask.sum())]  # or half a pair of frames would be padding
            frames = self.network(**{name: inputs}).last_hidden_state
            return frames, torch.tensor([frames.shape[1]])
        lengths = mask.sum(1)
        if self.kind in RAW:
            lengths = self.network._get_feat_extract_output_lengths(lengths)
        frames = self.network(
            **{name: inputs, "attention_mask": mask.to(self._device)}
        ).last_hidden_state
        return frames, lengths

    def _encode_window(self, waves: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Run Whisper's encoder as its own forward does, which insists on 30 seconds."""
        network, extractor = self.network, self.extractor
        hop, longest = extractor.hop_length, max(len(wave) for wave in waves)
        if self.padding == "full":
            size = extractor.n_samples
        else:
            # The silence that the last frame's windows reach into, as with full padding: then the
            # spectrogram's end is not mirrored, and an utterance ends alike in every batch
            size = -(-longest // hop) * hop + 2 * hop + extractor.n_fft
            size = min(size, extractor.n_samples)
        with full_precision(self._device):
            mel = extractor(
                waves,
                sampling_rate=RATE,
                padding="max_length",
                max_length=size,
                return_tensors="pt",
                device=str(self._device),
            ).input_features
        x = gelu(network.conv1(mel.to(self._device, self._dtype)))  # (B, D, 10 ms)
        x = gelu(network.conv2(x)).transpose(1, 2)  # (B, 20 ms, D)
        spectra = torch.tensor([-(-len(wave) // hop) for wave in waves])
        lengths = (spectra + 1) // 2
        mask = None
        if self.padding == "longest":
            x = x[:, : int(lengths.max())]
            mask = self._attention_mask(x, lengths)
        x = x + network.embed_positions.weight[: x.shape[1]]
        x = dropout(x, p=network.dropout, training=self.training)
        for block in network.layers:
            x = block(x, mask)
        return network.layer_norm(x), lengths

    def _attention_mask(self, x: Tensor, lengths: Tensor) -> Any:
        """Padding in the form that the attention implementation wants."""
        from transformers.masking_utils import create_bidirectional_mask

        mask = length_mask(lengths, x.shape[1]).to(x.device)
        return create_bidirectional_mask(
            config=self.network.config, inputs_embeds=x, attention_mask=mask
        )

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

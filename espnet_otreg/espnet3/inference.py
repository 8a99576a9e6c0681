"""What `inference.yaml` names as `model`: the recognisers that a training of ESPnet3 leaves.

ESPnet3 builds it in a worker process that has imported nothing of ours, and calls it with one
utterance or a list of them. Both give ESPnet2's answers, `(text, tokens, ids, details)`, the best
first, which its ASRInferenceRunner reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from espnet2.bin import asr_inference

import espnet_otreg.tasks.asr  # noqa: F401  (registers)
from espnet_otreg.decode.slm import SpeechLanguageModel, Transcription
from espnet_otreg.weights import read_weights, tensors_only

Answers = list[tuple[str, list[str], list[int], Any]]


def recogniser(
    asr_train_config: str, asr_model_file: str, device: str = "cpu", **options: Any
) -> asr_inference.Speech2Text:
    """Return stock ESPnet's beam search on a trained model, a regularised one or a stock one.

    Args:
        asr_train_config: config.yaml of the experiment
        asr_model_file: the average `valid.acc.ave.pth`, or one checkpoint, `*.ckpt`
        device: cpu or cuda, which ESPnet3 chooses
        options: of `espnet2.bin.asr_inference.Speech2Text`, such as beam_size
    """
    read_weights(Path(asr_model_file))  # tells in one line what is missing, or no model
    with tensors_only():
        return asr_inference.Speech2Text(asr_train_config, asr_model_file, device=device, **options)


class Listener:
    """A speech language model; `input_key: [speech, language]` gives its prompt the language."""

    def __init__(
        self,
        asr_train_config: str,
        asr_model_file: str,
        device: str = "cpu",
        beam_size: int = 1,
        max_new_tokens: int = 200,
        ctc_weight: float = 0.0,
    ) -> None:
        """Load the model; its base models are found by the names in its config.yaml."""
        files = (Path(asr_train_config), Path(asr_model_file))
        self.listener = SpeechLanguageModel.from_files(*files, device=device)
        self.options: dict[str, Any] = {
            "beam_size": beam_size,
            "max_new_tokens": max_new_tokens,
            "ctc_weight": ctc_weight,
        }

    def __call__(
        self,
        speech: np.ndarray | Sequence[np.ndarray],
        language: str | Sequence[str] | None = None,
    ) -> Answers | list[Answers]:
        """Return the one answer to an utterance in a list, or a list of these."""
        if isinstance(speech, np.ndarray):
            return self._heard([speech], language)[0]
        return self._heard(list(speech), language)

    def _heard(
        self, clips: list[np.ndarray], language: str | Sequence[str] | None
    ) -> list[Answers]:
        found = self.listener.transcribe(clips, language, batch_size=len(clips), **self.options)
        return [self._answers(each) for each in found]

    def _answers(self, found: Transcription) -> Answers:
        ids = self.listener.tokenizer.convert_tokens_to_ids(found.tokens)
        return [(found.text, found.tokens, ids, found)]

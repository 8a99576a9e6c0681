"""A trained model, packed, as a function from a recording to text.

model = Speech2Text.from_pretrained("packed.zip")
text, tokens, *_ = model("speech.wav")[0]
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from espnet_otreg.compat import asr_inference
from espnet_otreg.decode.batches import ctc_greedy, read_recording
from espnet_otreg.decode.slm import SpeechLanguageModel
from espnet_otreg.errors import UserError
from espnet_otreg.hub.decoding import accepted
from espnet_otreg.hub.opened import Pack, opened
from espnet_otreg.tasks.asr import ASRTask  # registers this package's models too
from espnet_otreg.weights import fill, read_weights, tensors_only

if TYPE_CHECKING:
    from espnet_otreg.pretrained.masked_lm import LMTokenizer

Recording = str | Path | np.ndarray | Tensor  # a file, or samples (N,) at the model's rate
Answer = tuple[str | None, list[str], list[int], Any]  # text, tokens, their ids, details
Join = Callable[[Sequence[str]], str]


class Speech2Text(asr_inference.Speech2Text):
    """Stock ESPnet's beam search, which knows this package's models; opens packs of every kind."""

    sampling_rate = 16000
    join: Join | None = None  # tokens to text, where they are a language model's pieces

    def __call__(self, speech: Recording) -> Any:
        """Return the n best answers, as stock ESPnet does."""
        results = super().__call__(torch.from_numpy(read_recording(speech, self.sampling_rate)))
        if self.join is None or not isinstance(results, list):
            return results
        return [(self.join(tokens), tokens, *rest) for _, tokens, *rest in results]

    @staticmethod
    def from_pretrained(
        model_tag: str | Path | None = None,
        *,
        device: str = "cpu",
        cache_dir: str | Path | None = None,
        encoder: str | None = None,
        decoder: str | None = None,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> "Speech2Text | GreedySpeech2Text | ListeningSpeech2Text":
        """Open a packed file, its unpacked folder or a hub name; stock ESPnet's packs too.

        Args:
            model_tag: the pack
            device: cpu or cuda
            cache_dir: where packed files are unpacked and hub models kept
            encoder: folder or hub name of the frozen encoder, a pretrained frontend too, where the
                pack neither holds it nor knows it by a hub name
            decoder: the same of a speech language model's language model
            trust_remote_code: open a pack whose base model brings Python code, and run it; without
                it nothing in a pack is run
            options: of decoding, in place of those in the pack, such as beam_size
        """
        if model_tag is None:
            return Speech2Text(**options, device=device)
        given = {"encoder": encoder, "decoder": decoder}
        bases = {part: str(name) for part, name in given.items() if name is not None}
        with opened(
            model_tag, cache_dir=cache_dir, bases=bases, trust_remote_code=trust_remote_code
        ) as pack:
            return loaded(pack, model_tag, device=device, options=options)


class GreedySpeech2Text:
    """The CTC branch alone: the best token of every frame."""

    def __init__(
        self, asr_model: Any, options: Any, sampling_rate: int, pieces: "LMTokenizer | None" = None
    ) -> None:
        self.asr_model, self.asr_train_args = asr_model.eval(), options
        self.sampling_rate = sampling_rate
        from espnet2.text.build_tokenizer import build_tokenizer

        own = build_tokenizer(token_type=options.token_type, bpemodel=options.bpemodel)
        self.join: Join = own.tokens2text if pieces is None else pieces.join
        self.split: Callable[[str], list[str]] = own.text2tokens if pieces is None else pieces.split

    def __call__(self, speech: Recording) -> list[Answer]:
        """Return the one answer in a list."""
        samples = torch.from_numpy(read_recording(speech, self.sampling_rate))
        device = next(self.asr_model.parameters()).device
        lengths = torch.tensor([len(samples)], device=device)
        (ids,) = ctc_greedy(self.asr_model, samples[None].to(device), lengths)
        tokens = [self.asr_model.token_list[i] for i in ids]
        return [(self.join(tokens), tokens, ids, None)]


class ListeningSpeech2Text:
    """A speech language model."""

    def __init__(self, listener: SpeechLanguageModel, options: dict[str, Any]) -> None:
        self.listener, self.options = listener, options

    def __call__(self, speech: Recording, language: str | None = None) -> list[Answer]:
        """Return the one answer in a list; `language` is a code such as en, for the prompt."""
        clip = read_recording(speech, self.listener.sampling_rate)
        (answer,) = self.listener.transcribe([clip], language, **self.options)
        ids = self.listener.tokenizer.convert_tokens_to_ids(answer.tokens)
        return [(answer.text, answer.tokens, ids, answer)]


def _beam(pack: Pack, device: str, options: dict[str, Any]) -> Speech2Text:
    if options.get("quantize_asr_model") or options.get("quantize_lm"):
        raise UserError("a pack is opened as it is: quantise the model after it was opened")
    if "lm_file" in pack.further:
        read_weights(Path(pack.further["lm_file"]))
    given = accepted(asr_inference.Speech2Text.__init__, {**options, **pack.further})
    with tensors_only():  # around ESPnet, which asks for more of what it loads by itself
        found = Speech2Text(str(pack.config), None, device=device, **given)
    _fill(found.asr_model, pack)
    pieces = _pieces(pack)
    found.sampling_rate = pack.facts.sampling_rate
    found.join = None if pieces is None else pieces.join
    return found


def _greedy(pack: Pack, device: str, options: dict[str, Any]) -> GreedySpeech2Text:
    accepted(lambda: None, options)
    model, trained = ASRTask.build_model_from_file(pack.config, None, device)
    _fill(model, pack)
    return GreedySpeech2Text(model, trained, pack.facts.sampling_rate, _pieces(pack))


def _listening(pack: Pack, device: str, options: dict[str, Any]) -> ListeningSpeech2Text:
    accepted(SpeechLanguageModel.transcribe, options)
    listener = SpeechLanguageModel.from_files(pack.config, pack.model, device=device)
    return ListeningSpeech2Text(listener, options)


def _fill(model: Any, pack: Pack) -> None:
    """Put the weights in, and refuse what ESPnet lets pass: those that are missing stay random."""
    weights = fill(model, pack.model)
    if pack.facts.espnet_otreg == "":
        return  # stock ESPnet's pack, of any version
    names = model.state_dict().keys()
    for kind, found in (("lacks", names - weights), ("has unknown", weights - names)):
        if found:
            raise UserError(
                f"{pack.model} {kind} {len(found)} tensors, first {min(found)}: it belongs to "
                "another config.yaml"
            )


def _pieces(pack: Pack) -> "LMTokenizer | None":
    """Open the tokenizer whose pieces are the tokens, where there is one."""
    if pack.tokenizer is None:
        return None
    from espnet_otreg.pretrained.masked_lm import LMTokenizer

    return LMTokenizer(pack.tokenizer)


def loaded(
    pack: Pack,
    tag: str | Path,
    *,
    device: str = "cpu",
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Speech2Text | GreedySpeech2Text | ListeningSpeech2Text:
    """Load an opened pack, which `tag` names in what goes wrong.

    By `method` it is decoded otherwise than the pack says, without the pack's options.
    """
    kind = pack.facts.method if method is None else method
    if kind not in OPENERS:
        raise UserError(
            f"{tag} is decoded by {kind!r}, which espnet_otreg does not know here: install version "
            f"{pack.facts.espnet_otreg}"
        )
    own = pack.decoding if kind == pack.facts.method else {}
    try:
        return OPENERS[kind](pack, device, {**own, **(options or {})})
    except UserError:
        raise
    except Exception as error:  # whatever a configuration can make a model's parts do
        reason = str(error).strip().split("\n", 1)[0]
        raise UserError(
            f"{tag} cannot be opened ({type(error).__name__}: {reason}): its config.yaml is not "
            "that of a model that was trained"
        ) from error


OPENERS: dict[str, Callable[[Pack, str, dict[str, Any]], Any]] = {
    "beam": _beam,
    "ctc_greedy": _greedy,
    "slm": _listening,
}

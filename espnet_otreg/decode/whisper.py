"""Decoding with a pretrained Whisper as it came, greedily: what its own decoder makes of speech.

recogniser = Whisper("openai/whisper-base")
recogniser.transcribe(["a.wav", "b.flac"], ["en", "fr"])
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from espnet_otreg.decode.batches import read_recording
from espnet_otreg.errors import UserError, one_line
from espnet_otreg.pretrained.hf_checkpoint import RATE, find, open_extractor
from espnet_otreg.pretrained.masked_lm import import_transformers, load

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


class Whisper:
    """A whole Whisper, encoder and decoder, by folder or hub name."""

    implementation: str | None = None  # of attention; None: transformers' own choice

    def __init__(self, model: str, device: str = "cpu") -> None:
        folder = find(model, trusted=False)
        transformers = import_transformers("a Whisper's own decoding", "slm")
        self.name, self.device = model, device
        self.extractor = open_extractor(folder, trusted=False)
        self.tokenizer = _tokenizer(transformers, folder)
        network: Any = load(
            transformers.WhisperForConditionalGeneration,
            folder,
            "a Whisper with its decoder",
            attn_implementation=self.implementation,
        )
        self.network = network.to(device).eval()
        self.longest = self.extractor.n_samples / RATE
        # what a prompt of language, task and no time stamps leaves
        self.room = network.config.max_target_positions - 4

    @property
    def multilingual(self) -> bool:
        """Tell whether it is to be told the language."""
        return bool(getattr(self.network.generation_config, "is_multilingual", False))

    def transcribe(self, recordings: Sequence[str], languages: Sequence[str | None]) -> list[str]:
        """Write down each recording, in the order given."""
        answers = dict(self.stream(recordings, languages))
        return [answers[i] for i in range(len(recordings))]

    def stream(
        self,
        recordings: Sequence[str],
        languages: Sequence[str | None],
        *,
        batch_size: int = 8,
        max_new_tokens: int = 200,
    ) -> Iterator[tuple[int, str]]:
        """Yield a recording's place and text, batch by batch, one language after another.

        Every recording is padded to the window that Whisper was trained with, so an answer does
        not depend on its batch.
        """
        by_language: dict[str | None, list[int]] = {}
        for place, language in enumerate(languages):
            by_language.setdefault(language, []).append(place)
        for language, places in by_language.items():
            told = self._told(language)
            for start in range(0, len(places), batch_size):
                batch = places[start : start + batch_size]
                texts = self._answers([recordings[i] for i in batch], told, max_new_tokens)
                yield from zip(batch, texts, strict=True)

    def _told(self, language: str | None) -> dict[str, Any]:
        """Say what `generate` is told of a language; an English Whisper knows no other."""
        if not self.multilingual:
            if language not in (None, "en"):
                raise UserError(
                    f"{self.name} is a Whisper of English alone, and an utterance is in "
                    f"{language!r}: take a multilingual one, or --langs en"
                )
            return {}
        known = getattr(self.network.generation_config, "lang_to_id", None) or {}
        if language is None or f"<|{language}|>" not in known:
            raise UserError(
                f"{self.name} does not know the language {language!r}; it knows "
                f"{' '.join(sorted(code.strip('<|>') for code in known))}"
            )
        return {"language": language, "task": "transcribe"}

    @torch.inference_mode()
    def _answers(self, recordings: Sequence[str], told: dict[str, Any], longest: int) -> list[str]:
        clips = [read_recording(recording, RATE) for recording in recordings]
        for recording, clip in zip(recordings, clips, strict=True):
            if len(clip) > self.extractor.n_samples:
                raise UserError(
                    f"{recording} lasts {len(clip) / RATE:.1f} s, and {self.name} takes "
                    f"{self.longest:g} s at most: cut it, or leave it out"
                )
        given = self.extractor(
            clips, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
        ).to(self.device)
        ids = self.network.generate(
            given.input_features,
            attention_mask=given.attention_mask,
            max_new_tokens=min(longest, self.room),
            num_beams=1,
            do_sample=False,
            **told,
        )
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def _tokenizer(transformers: Any, folder: Path) -> Any:
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            f"{folder} holds no tokenizer ({' or '.join(TOKENIZER_FILES)}), which the words of its "
            "own decoder need: save the tokenizer beside it"
        )
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: its tokenizer cannot be loaded: {one_line(error)}") from error

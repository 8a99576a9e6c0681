"""MODEL of the command line: a pack, an experiment's folder or a hub name becomes a recogniser."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from espnet_otreg.decode.speech2text import (
    GreedySpeech2Text,
    ListeningSpeech2Text,
    Speech2Text,
    loaded,
)
from espnet_otreg.errors import UserError
from espnet_otreg.hub.archive import META
from espnet_otreg.hub.facts import CARD, CONFIG
from espnet_otreg.hub.opened import Pack, opened, opened_experiment
from espnet_otreg.transcribe import Recogniser
from espnet_otreg.transcribe.listening import ListeningRecogniser
from espnet_otreg.transcribe.recognisers import BeamRecogniser, CTCRecogniser

_BEGINS_A_WORD, _INSIDE_A_WORD = "▁", "##"  # how pieces begin, of sentencepiece and of BERT


@dataclass(frozen=True)
class Asked:
    """How a model is to be opened."""

    model: str
    model_file: str | None = None  # of an experiment
    exact: bool = False  # as its results were decoded, not the fastest way
    device: str = "cpu"
    trust_remote_code: bool = False
    bases: Mapping[str, str] = field(default_factory=dict)  # part -> base model, of packs
    options: Mapping[str, Any] = field(default_factory=dict)  # of decoding


def open_model(asked: Asked) -> tuple[Recogniser, str]:
    """Open a model, and return with it a stamp that tells its weights from others."""
    with _pack(asked) as pack:
        languages = _languages(pack.folder)
        status = pack.model.stat()
        stamp = f"{pack.facts.name} {status.st_size} {status.st_mtime_ns}"
        return _recogniser(asked, pack, languages), stamp


def is_experiment(model: str) -> bool:
    """Tell whether a folder is a training's, not a pack's."""
    folder = Path(model).expanduser()
    return (folder / CONFIG).is_file() and not (folder / META).is_file()


def _pack(asked: Asked) -> AbstractContextManager[Pack]:
    trusted = asked.trust_remote_code
    if is_experiment(asked.model):
        if asked.bases:
            raise UserError(
                f"{asked.model} is an experiment: its config.yaml names the base models, and "
                "--encoder and --decoder are for packs"
            )
        folder = Path(asked.model).expanduser()
        return opened_experiment(folder, asked.model_file, trust_remote_code=trusted)
    if asked.model_file is not None:
        raise UserError(f"{asked.model} is no experiment's folder: leave --model_file out")
    return opened(asked.model, bases=asked.bases, trust_remote_code=trusted)


def _recogniser(asked: Asked, pack: Pack, languages: tuple[str, ...]) -> Recogniser:
    method = pack.facts.method
    if method == "beam" and not asked.exact and not asked.options:
        method = "ctc_greedy" if _has_ctc(pack) else "beam"
    found = loaded(pack, asked.model, device=asked.device, method=method, options=asked.options)
    if isinstance(found, ListeningSpeech2Text):
        return ListeningRecogniser(found, languages)
    if isinstance(found, Speech2Text):
        logging.info("ESPnet's beam search takes one recording at a time")
        return BeamRecogniser(found, languages)
    if pack.tokenizer is None:
        _join_pieces(found)
    return CTCRecogniser(found, languages)


def _has_ctc(pack: Pack) -> bool:
    config = yaml.safe_load(pack.config.read_text(encoding="utf-8"))
    return (config.get("model_conf") or {}).get("ctc_weight", 0.5) > 0  # 0.5 is ESPnet's default


def _join_pieces(found: GreedySpeech2Text) -> None:
    """Put a masked language model's pieces together where its tokenizer did not come along."""
    tokens = found.asr_model.token_list
    if found.asr_train_args.token_type != "word":
        return
    if any(token.startswith(_BEGINS_A_WORD) for token in tokens):
        found.join = lambda pieces: "".join(pieces).replace(_BEGINS_A_WORD, " ")
    elif any(token.startswith(_INSIDE_A_WORD) for token in tokens):
        found.join = lambda pieces: " ".join(pieces).replace(f" {_INSIDE_A_WORD}", "")
    else:
        return
    found.split = _cannot_split


def _cannot_split(text: str) -> list[str]:
    raise UserError(
        "the model's tokens are pieces of a masked language model, which an experiment's folder "
        "does not hold: align with a pack made by espnet-otreg pack --lm"
    )


def _languages(folder: Path) -> tuple[str, ...]:
    """Read which languages a pack's card names."""
    card = folder / CARD
    if not card.is_file():
        return ()
    head = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        found = yaml.safe_load(head[1])["language"] if len(head) == 3 and not head[0] else ()
    except (yaml.YAMLError, KeyError, TypeError):
        return ()
    found = [found] if isinstance(found, str) else found
    return tuple(each for each in found or () if isinstance(each, str) and each != "multilingual")

"""Which language model it was: fingerprints, and the check that no stale feature is used."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table
from espnet_otreg.pretrained.bases import file_hash, hash_files
from espnet_otreg.pretrained.feature_cache import FEATURES_JSON, read_note
from espnet_otreg.pretrained.masked_lm import TOKENIZER_FILES, WEIGHTS, resolve


class Fingerprint(NamedTuple):
    """What tells one language model from another."""

    model: str  # SHA-256 of configuration and weights
    tokenizer: str  # SHA-256 of the tokenizer's files


class CachedFeatures(NamedTuple):
    """What `features.json` says of a finished folder."""

    folder: Path
    lm: str  # as it was named then
    model: str
    tokenizer: str
    text: str  # SHA-256 of the text of pieces
    dimension: int
    dtype: str
    utterances: int


def weight_files(folder: Path) -> list[Path]:
    """List the files that a resolved folder's weights are loaded from."""
    weights = next((found for name in WEIGHTS if (found := sorted(folder.glob(name)))), [])
    if not weights:
        raise UserError(f"{folder} holds no weights ({' or '.join(WEIGHTS)}): download it again")
    return weights


def fingerprint(lm: str | Path) -> Fingerprint:
    """Hash what determines the features, reading the files piece by piece."""
    folder = resolve(lm)
    weights = weight_files(folder)
    tokenizer = sorted({path for name in TOKENIZER_FILES for path in folder.glob(name)})
    if not tokenizer:
        raise UserError(f"{folder} holds no tokenizer: save the model's tokenizer beside it")
    return Fingerprint(hash_files([folder / "config.json", *weights]), hash_files(tokenizer))


def check_features(
    features: str | Path, lm: str | Path | None, text: str | Path | None = None
) -> CachedFeatures:
    """Return what is cached, or raise a UserError if it comes from another model or text.

    `features` is the folder or its feats.scp; `lm` the model, by default the one named when the
    folder was made, as it is now; `text`, if given, the text of pieces to train on.
    """
    folder, content = read_note(features, "espnet_otreg.stages.lm_features")
    try:
        known = {name: content[name] for name in CachedFeatures._fields if name != "folder"}
    except KeyError as error:
        raise UserError(f"{folder / FEATURES_JSON} has no {error}: make the folder again") from None
    cached = CachedFeatures(folder=folder, **known)
    lm = cached.lm if lm is None else lm
    given = fingerprint(lm)._asdict()
    if text is not None:
        given["text"] = file_hash(Path(text))
    for name, value in given.items():
        before = getattr(cached, name)
        if before != value:
            raise UserError(
                f"{folder} was made with another {name} (SHA-256 {before[:12]}, from {cached.lm}) "
                f"than {text if name == 'text' else lm} ({value[:12]}): remove the folder and run "
                "espnet_otreg.stages.lm_features again"
            )
    return cached


def named_model(features: str | Path) -> str:
    """Return the language model that a folder's features are of, as it was named then."""
    _, content = read_note(features, "espnet_otreg.stages.lm_features")
    return str(content["lm"])


def read_rows(scp: str | Path, utterances: int) -> np.ndarray:
    """Return features of tokens (N, d), without [CLS] and [SEP], of evenly spread utterances."""
    paths = list(read_table(Path(scp)).values())
    step = max(1, -(-len(paths) // utterances))
    rows = []
    for path in paths[::step]:
        try:
            rows.append(np.load(path, allow_pickle=False)[1:-1].astype(np.float32))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}, listed in {scp}, cannot be read ({error}): make the features again with "
                "espnet_otreg.stages.lm_features"
            ) from error
    return np.concatenate(rows)

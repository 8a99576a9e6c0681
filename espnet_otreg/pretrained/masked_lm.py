"""A pretrained masked language model as teacher: its pieces and its last layer.

Any encoder that `transformers.AutoModel` opens will do, by folder or hub name, as long as its
tokenizer frames a sentence with a [CLS] and a [SEP] symbol. It is run without gradient, and code
that comes with a model is never run.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from espnet_otreg.errors import UserError, one_line

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "*.model", "*.vocab"),
)
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # the first that is there is what gets loaded
_ALONE = re.compile(r"(?<=\w) ' (?=\w)")  # an apostrophe that a tokenizer has cut off on both sides
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_BETWEEN_HAN = re.compile(rf"(?<=[{_HAN}]) (?=[{_HAN}])")


def import_transformers(
    what: str = "a masked language model", extra: str = "transfer"
) -> ModuleType:
    """Import the optional package, late: it is slow, and few methods need it."""
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{what} needs the package transformers, which is not installed: "
            f"pip install espnet_otreg[{extra}]"
        ) from error
    return transformers


def resolve(
    lm: str | Path, beside: Sequence[str] = TOKENIZER_FILES, named: str = "tokenizer"
) -> Path:
    """Return the folder of a pretrained model; a hub name is downloaded unless it is cached.

    `beside` are the files needed besides configuration and weights, `named` what they are.
    """
    folder = Path(lm)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(
                f"{folder} holds no config.json: name a folder written by save_pretrained, "
                f"with configuration, weights and {named}"
            )
        return folder
    import_transformers(f"model {lm}", "slm")
    from huggingface_hub import snapshot_download

    try:
        wanted = ["config.json", "*.safetensors.index.json", *beside]
        found = Path(snapshot_download(str(lm), allow_patterns=[*wanted, WEIGHTS[0]]))
        if not any(found.glob(WEIGHTS[0])):
            wanted.append("pytorch_model*.bin.index.json")
            found = Path(snapshot_download(str(lm), allow_patterns=[*wanted, WEIGHTS[1]]))
    except (OSError, ValueError) as error:  # the hub's own errors are among these
        reason = str(error).strip().split("\n", 1)[0]
        raise UserError(
            f"{lm} is neither a folder nor a model that can be fetched ({reason}): check the "
            "name, or give the folder of a model downloaded before"
        ) from error
    return found


def load(auto: Any, folder: Path, what: str, unused: str | None = None, **options: Any) -> Any:
    """Load a network by one of transformers' Auto classes; a weight that is missing is an error.

    Weights with `unused` in their name may be missing.
    """
    options = {"trust_remote_code": False, **options}
    try:
        with quiet(import_transformers()):
            network, report = auto.from_pretrained(str(folder), output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{folder} cannot be loaded as {what}: {one_line(error)}") from error
    missing = sorted(key for key in report["missing_keys"] if unused is None or unused not in key)
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} weights are missing, first {missing[0]}: they would be "
            "random; download or save the model again"
        )
    return network


class LMTokenizer:
    """A language model's tokenizer: sentences to pieces and back."""

    def __init__(self, lm: str | Path) -> None:
        transformers = import_transformers()
        self.folder = resolve(lm)
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(self.folder), trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{self.folder}: its tokenizer cannot be loaded: {one_line(error)}"
            ) from error
        pair = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        if None in pair:
            raise UserError(
                f"{self.folder}: its tokenizer has no [CLS]/[SEP] pair (cls_token "
                f"{self.tokenizer.cls_token}, sep_token {self.tokenizer.sep_token}): choose a "
                "masked language model of the BERT family"
            )
        self.cls: int = pair[0]
        self.sep: int = pair[1]
        self.vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        self.special = set(self.tokenizer.all_special_tokens)
        self.unknown: str = self.tokenizer.unk_token

    def split(self, text: str) -> list[str]:
        """Cut a sentence into pieces, without [CLS] and [SEP]."""
        return self.tokenizer.tokenize(text)

    def join(self, pieces: Sequence[str]) -> str:
        """Put decoded pieces together by the tokenizer's own inverse, then undo what it forgets.

        Tokenizers of the BERT kind set apostrophes and Chinese characters apart; transcripts hold
        apostrophes inside words only, and no spaces between Chinese characters.
        """
        text = " ".join(self.tokenizer.convert_tokens_to_string(list(pieces)).split())
        return _BETWEEN_HAN.sub("", _ALONE.sub("'", text))

    def problem(self, pieces: Sequence[str], limit: int, *, unknown_allowed: bool = False) -> str:
        """Say why the language model cannot take these pieces; nothing if it can."""
        if not pieces:
            return "no piece: the text is empty"
        allowed = {self.unknown} if unknown_allowed else set()
        special = sorted(self.special.intersection(pieces) - allowed)
        if special:
            return f"symbol {' '.join(special)} of the language model among the pieces"
        unknown = sorted({piece for piece in pieces if piece not in self.vocabulary})
        if unknown:
            return f"not pieces of the language model: {' '.join(unknown)}"
        blank = [piece for piece in pieces if piece.split() != [piece]]
        if blank:
            return f"piece {blank[0]!r} holds a space, and spaces separate pieces"
        if len(pieces) > limit:
            return f"{len(pieces)} pieces, and the language model takes {limit}"
        return ""


class LanguageModel:
    """The teacher. Not a module: its weights must not enter a student's checkpoints."""

    def __init__(self, lm: str | Path, device: str = "cpu") -> None:
        transformers = import_transformers()
        self.tokenizer = LMTokenizer(lm)
        folder = self.tokenizer.folder
        # a pooling layer on top of [CLS] is often not saved, and not used here
        network = load(transformers.AutoModel, folder, "a language model", unused="pooler")
        if network.config.is_encoder_decoder:
            raise UserError(f"{folder} is an encoder-decoder; choose a masked language model")
        self.device = torch.device(device)
        self.network: nn.Module = network.float().eval().requires_grad_(False).to(self.device)
        self.dimension: int = network.config.hidden_size
        self.max_pieces = _max_pieces(network, self.tokenizer)

    @torch.no_grad()
    def embed(
        self, pieces: Sequence[Sequence[str]], *, unknown: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the last layer (B, L+2, d), zero on padding, and the lengths (B,).

        `unknown` is the recogniser's own token for pieces outside its vocabulary; it is read as
        the tokenizer's.
        """
        if unknown is not None:
            own = self.tokenizer.unknown
            pieces = [[own if piece == unknown else piece for piece in row] for row in pieces]
        for row in pieces:
            problem = self.tokenizer.problem(
                row, self.max_pieces, unknown_allowed=unknown is not None
            )
            if problem:
                raise UserError(f"{' '.join(row)!r}: {problem}; make the text with lm_tokens")
        known = self.tokenizer.vocabulary
        cls, sep = self.tokenizer.cls, self.tokenizer.sep
        rows = [torch.tensor([cls, *(known[piece] for piece in row), sep]) for row in pieces]
        lengths = torch.tensor([len(row) for row in rows])
        pad = self.tokenizer.tokenizer.pad_token_id or 0
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)  # (B, L+2)
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        ids, mask = ids.to(self.device), mask.to(self.device)
        last = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return last * mask[:, :, None], lengths.to(self.device)

    @property
    def table(self) -> Tensor:
        """The input embeddings (V, d), in the order of the tokenizer's vocabulary."""
        network: Any = self.network
        return network.get_input_embeddings().weight.detach()

    def features(self, pieces: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Embed one batch: a float32 array of [CLS], the pieces and [SEP] per sentence."""
        last, lengths = self.embed(pieces)
        pairs = zip(last.cpu(), lengths.tolist(), strict=True)
        return [row[:length].numpy() for row, length in pairs]


def pieces_to_text(lm: LMTokenizer | str | Path, pieces: Sequence[str]) -> str:
    """Turn decoded pieces back into text; hand in a loaded tokenizer for many sentences."""
    tokenizer = lm if isinstance(lm, LMTokenizer) else LMTokenizer(lm)
    return tokenizer.join(pieces)


def max_pieces(tokenizer: LMTokenizer) -> int:
    """Look up how many pieces fit between [CLS] and [SEP], without loading the weights."""
    transformers = import_transformers()
    config = transformers.AutoConfig.from_pretrained(str(tokenizer.folder), trust_remote_code=False)
    with torch.device("meta"):
        return _max_pieces(
            transformers.AutoModel.from_config(config, trust_remote_code=False), tokenizer
        )


def _max_pieces(network: Any, tokenizer: LMTokenizer) -> int:
    positions = getattr(network.config, "max_position_embeddings", None) or 10**9
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its kin begin to count after the index of padding
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            positions = module.num_embeddings - skipped
    return min(positions, tokenizer.tokenizer.model_max_length) - 2


@contextmanager
def quiet(transformers: ModuleType) -> Iterator[None]:
    """Loading reports list the unused heads; what is missing is told by `LanguageModel`."""
    log = transformers.utils.logging
    level = log.get_verbosity()
    bars = log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()

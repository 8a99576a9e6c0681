"""A small masked language model of the mini grammars, in Hugging Face format.

Trained from nothing on sentences of the split `train` in all languages: a sentence of dev or test
belongs to no other split (`grammar.Sentence.split`), so none is ever seen. The pieces are cut by
byte-pair encoding over words marked at their start, not by WordPiece: that one forgets whether an
apostrophe had spaces around it, this one gives every sentence back as it was.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from espnet_otreg.mini import lexicon
from espnet_otreg.mini.grammar import vocabulary
from espnet_otreg.mini.lm_common import by_length, is_made, parallel, save, tables_digest
from espnet_otreg.progress import progress

if TYPE_CHECKING:
    import torch
    from transformers import BertForMaskedLM, PreTrainedTokenizerFast

REPORT = "masked_lm.json"  # in the finished folder: what it was made with, and how good it is
_VERSION = 1  # raise it when the same request gives another model
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_MASKED = 0.2  # of the positions; of these 80 % become [MASK], 10 % any piece, 10 % stay
_POSITIONS = 128
_IGNORED = -100  # label of what is not asked for


class Size(NamedTuple):
    """How much to train."""

    meanings: int  # each gives one sentence per language
    held_out: int
    pieces: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    epochs: int
    batch: int = 64
    rate: float = 3e-3


SIZES = {
    "smoke": Size(100, 20, 300, 32, 1, 2, 64, 2),
    "mini": Size(7000, 300, 500, 128, 2, 4, 512, 4),
}


class Quality(NamedTuple):
    """Masked accuracy on sentences of dev, every masked position being [MASK]."""

    accuracy: float
    by_language: dict[str, float]
    positions: int


def make_masked_lm(output: Path, size: str, seed: int) -> Quality | None:
    """Train and save; None if `output` holds this model already.

    The folder appears whole: everything is written beside it and renamed in the end.
    """
    request = _request(size, seed)
    if is_made(output, REPORT, request):
        return None
    start = time.monotonic()
    settings = SIZES[size]
    train = sentences("train", settings.meanings, seed)
    held_out = sentences("dev", settings.held_out, seed)
    texts = [text for _, text in train]
    tokenizer = train_tokenizer(texts, settings.pieces)
    model = train_model(tokenizer, texts, settings, seed)
    quality = masked_accuracy(model, tokenizer, held_out)
    report = {
        **request,
        **quality._asdict(),
        "vocabulary": len(tokenizer),
        "sentences": len(texts),
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - start, 1),
    }
    save(output, tokenizer, model, REPORT, report)
    return quality


def sentences(split: str, meanings: int, seed: int) -> list[tuple[str, str]]:
    """Language and text, lower case without punctuation, of freshly drawn meanings."""
    drawn = parallel(split, meanings, seed)
    return [pair for texts in drawn for pair in texts.items()]


def train_tokenizer(texts: Sequence[str], pieces: int) -> "PreTrainedTokenizerFast":
    """Learn pieces that join to exactly the sentence they were cut from."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            # l' and homme, not l'homme: a noun keeps its pieces whatever stands before it
            pre_tokenizers.Split("'", "merged_with_previous"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    words = {word for lang in lexicon.LANGUAGES for word in vocabulary(lang)}
    letters = sorted({letter for word in words for letter in word})
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=_SPECIAL,
        initial_alphabet=letters,  # a letter too rare for a small sample still has a piece
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    frame = [(name, _SPECIAL.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=frame
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    symbols = {f"{name}_token": symbol for name, symbol in zip(names, _SPECIAL, strict=True)}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=_POSITIONS, **symbols
    )


def train_model(
    tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str], size: Size, seed: int
) -> "BertForMaskedLM":
    """Train a BERT from random weights; the caller's random state is left as it was."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=_POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0,  # a few epochs of text do not overfit; dropout only slows them
        attention_probs_dropout_prob=0.0,
    )
    ids = tokenizer(list(texts))["input_ids"]
    steps = -(-len(ids) // size.batch) * size.epochs
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertForMaskedLM(config).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=size.rate, betas=(0.9, 0.98))
        warm = max(steps // 10, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warm, 1 - step / steps)
        )
        with progress("training the language model", "step", steps) as bar:
            for rows in _batches(ids, size, random.Random(f"order {seed}")):
                batch = _pad(rows)
                inputs, labels = _mask(batch, len(tokenizer))
                attend = (inputs != tokenizer.pad_token_id).long()
                last = model.bert(input_ids=inputs, attention_mask=attend).last_hidden_state
                asked = labels != _IGNORED
                loss = cross_entropy(model.cls(last[asked]), labels[asked], reduction="sum")
                loss = loss / asked.sum().clamp(min=1)  # a tiny batch may ask for nothing
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                if bar.n % 20 == 0:
                    bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
                bar.update()
    return model.eval()


def _batches(ids: list[list[int]], size: Size, rng: random.Random) -> Iterator[list[list[int]]]:
    """All sentences once an epoch, in new order."""
    for _ in range(size.epochs):
        yield from by_length(rng.sample(ids, len(ids)), size.batch, rng, len)


def _pad(rows: Sequence[Sequence[int]]) -> "torch.Tensor":
    import torch

    width = max(map(len, rows))
    pad = _SPECIAL.index("[PAD]")
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])  # (B, L)


def _mask(ids: "torch.Tensor", pieces: int) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return BERT's inputs and labels (B, L)."""
    import torch

    hit = (torch.rand(ids.shape) < _MASKED) & (ids >= len(_SPECIAL))
    labels = ids.masked_fill(~hit, _IGNORED)
    lot = torch.rand(ids.shape)
    inputs = ids.masked_fill(hit & (lot < 0.8), _SPECIAL.index("[MASK]"))
    swap = hit & (lot >= 0.8) & (lot < 0.9)
    return torch.where(swap, torch.randint(len(_SPECIAL), pieces, ids.shape), inputs), labels


def masked_accuracy(
    model: Any, tokenizer: "PreTrainedTokenizerFast", pairs: Sequence[tuple[str, str]]
) -> Quality:
    """Mask every sixth piece in turn, so that each piece of each sentence is asked for once."""
    import torch

    right = dict.fromkeys(lexicon.LANGUAGES, 0)
    asked = dict.fromkeys(lexicon.LANGUAGES, 0)
    period = 6
    with torch.no_grad():
        for lang in lexicon.LANGUAGES:
            rows = tokenizer([text for name, text in pairs if name == lang])["input_ids"]
            for first in range(0, len(rows), 100):
                ids = _pad(rows[first : first + 100])
                places = torch.arange(ids.shape[1]).expand_as(ids)
                for turn in range(period):
                    hit = (places % period == turn) & (ids >= len(_SPECIAL))
                    inputs = ids.masked_fill(hit, _SPECIAL.index("[MASK]"))
                    attend = (ids != tokenizer.pad_token_id).long()
                    best = model(input_ids=inputs, attention_mask=attend).logits.argmax(-1)
                    right[lang] += int((best == ids)[hit].sum())
                    asked[lang] += int(hit.sum())
    shares = {lang: round(right[lang] / asked[lang], 4) for lang in right}
    total = sum(asked.values())
    return Quality(round(sum(right.values()) / total, 4), shares, total)


def _request(size: str, seed: int) -> dict[str, Any]:
    """What tells one finished model from another."""
    return {
        "size": size,
        "seed": seed,
        "settings": json.loads(json.dumps(SIZES[size]._asdict())),
        "version": _VERSION,
        "tables": tables_digest(),
    }

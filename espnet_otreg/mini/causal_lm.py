"""A small causal language model that follows instructions, in Hugging Face format.

Trained from nothing on sentences of the split `train`: it writes down what reaches it disturbed,
translates it, and goes on with plain sentences (`causal_lm_text.py`). It stands for the large
instruct model of a speech language model and has its interface: Qwen2's architecture, a chat
template, pieces of bytes, and a pad symbol that is silence inside a source.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.mini.causal_lm_batch import IGNORED, embed, length, pad
from espnet_otreg.mini.causal_lm_text import (
    ROBUSTNESS,
    SEPARATORS,
    TRANSLATE,
    WRITE_DOWN,
    Conversations,
    Example,
    Noise,
    scaled,
    train_tokenizer,
    weaker,
)
from espnet_otreg.mini.lexicon import LANGUAGES
from espnet_otreg.mini.lm_common import by_length, is_made, parallel, save, tables_digest
from espnet_otreg.progress import progress

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM

REPORT = "causal_lm.json"  # in the finished folder: what it was made with, and how good it is
_VERSION = 1  # raise it when the same request gives another model
_POSITIONS = 1024
_EMBEDDING, _PASSED_ON = 0.1, 0.5  # deviation of embeddings, and gain of attention, at the start
_CALM, _RISE = 0.1, 0.2  # shares of the steps without noise, and then with rising noise


class Size(NamedTuple):
    """How much to train."""

    meanings: int  # each gives one sentence per language
    held_out: int
    pieces: int  # 256 of them are the bytes
    hidden: int
    layers: int
    heads: int
    intermediate: int
    steps: int
    batch: int = 16  # many small steps teach more in the same time than few large ones
    rate: float = 3e-3
    translate: float = 0.0  # share of translations; takes many steps to learn


SIZES = {
    "smoke": Size(60, 3, 330, 32, 1, 2, 64, 4, batch=8, translate=0.5),
    "mini": Size(8000, 100, 600, 128, 3, 4, 384, 3000),
    "translator": Size(16000, 100, 600, 128, 3, 4, 384, 8000, translate=0.4),
}


class Score(NamedTuple):
    """How well unseen sentences are answered, greedily."""

    exact: float  # share of sentences without any error
    piece_errors: float  # wrong, missing and surplus pieces, per piece


class Quality(NamedTuple):
    """Scores on sentences of dev."""

    written: dict[str, dict[str, Score]]  # by noise as in `measure`, then by language
    translated: dict[str, Score]  # "en-es": from a clean source; empty where it was not trained


def make_causal_lm(
    output: Path, size: str, languages: Sequence[str], robustness: str, seed: int
) -> Quality | None:
    """Train and save; None if `output` holds this model already.

    The folder appears whole: everything is written beside it and renamed in the end.
    """
    request = _request(size, languages, robustness, seed)
    if is_made(output, REPORT, request):
        return None
    start = time.monotonic()
    settings = SIZES[size]
    train = parallel("train", settings.meanings, seed)
    texts = [meaning[lang] for meaning in train for lang in languages]
    tokenizer = train_tokenizer(texts, settings.pieces, seed)
    material = Conversations(tokenizer, train, languages)
    model = train_model(tokenizer, material, ROBUSTNESS[robustness], settings, seed)
    held_out = Conversations(tokenizer, parallel("dev", settings.held_out, seed), languages)
    quality = measure(model, tokenizer, held_out, seed, translate=settings.translate > 0)
    report = {
        **request,
        "written": {
            level: {lang: score._asdict() for lang, score in scores.items()}
            for level, scores in quality.written.items()
        },
        "translated": {pair: score._asdict() for pair, score in quality.translated.items()},
        "vocabulary": len(tokenizer),
        "pieces_per_word": round(_pieces(material) / sum(len(t.split()) for t in texts), 3),
        "sentences": len(texts),
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - start, 1),
    }
    save(output, tokenizer, model, REPORT, report)
    return quality


def _pieces(material: Conversations) -> int:
    return sum(len(pieces) for row in material.rows for pieces in row.values())


def _request(size: str, languages: Sequence[str], robustness: str, seed: int) -> dict[str, Any]:
    """What tells one finished model from another."""
    unknown = [lang for lang in languages if lang not in LANGUAGES]
    if unknown or not languages or len(set(languages)) < len(languages):
        raise UserError(
            f"the mini language model knows {' '.join(LANGUAGES)}, each named once: got "
            f"{' '.join(languages) or 'none'}"
        )
    return {
        "size": size,
        "languages": list(languages),
        "robustness": robustness,
        "seed": seed,
        "settings": json.loads(json.dumps(SIZES[size]._asdict())),
        "noise": json.loads(json.dumps(ROBUSTNESS[robustness]._asdict())),
        "version": _VERSION,
        "tables": tables_digest(),
    }


def train_model(
    tokenizer: Any, material: Conversations, noise: Noise, size: Size, seed: int
) -> "Qwen2ForCausalLM":
    """Train a Qwen2 from random weights; the caller's random state is left as it was."""
    import torch
    from torch.nn.functional import cross_entropy

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _network(tokenizer, size).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=size.rate, betas=(0.9, 0.98))
        warm = max(size.steps // 10, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / warm, 1 - step / size.steps)
        )
        with progress("training the language model", "step", size.steps) as bar:
            for examples in _batches(material, noise, size, random.Random(f"order {seed}")):
                batch = pad(examples, tokenizer.pad_token_id, "right")
                # padding is at the right, where no piece looks: causal attention needs no mask
                inputs = embed(model, batch)
                last = model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
                answers = batch.labels[:, 1:]
                asked = answers != IGNORED
                loss = cross_entropy(model.lm_head(last[:, :-1][asked]), answers[asked])
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                if bar.n % 20 == 0:
                    bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
                bar.update()
    return model.eval()


def _network(tokenizer: Any, size: Size) -> "Qwen2ForCausalLM":
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config)
    start_copying(model)
    return model


def start_copying(model: Any) -> None:
    """Start where attention passes on what it looks at: what to look at is left to learn.

    From the usual start, copying takes twice as many steps to appear.
    """
    import torch

    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(_EMBEDDING / model.config.initializer_range)
        for layer in model.model.layers:
            attention = layer.self_attn
            torch.nn.init.orthogonal_(attention.v_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T * _PASSED_ON)


def _batches(
    material: Conversations, noise: Noise, size: Size, rng: random.Random
) -> Iterator[list[Example]]:
    """Fresh conversations, clean ones first: copying is found sooner, and noise learnt on top."""
    done = 0
    while done < size.steps:
        together = min(20, size.steps - done)
        share = min(max((done / size.steps - _CALM) / _RISE, 0.0), 1.0)
        now = scaled(noise, share)
        drawn = [material.draw(now, rng, size.translate) for _ in range(together * size.batch)]
        yield from by_length(drawn, size.batch, rng, length)
        done += together


def measure(
    model: Any, tokenizer: Any, material: Conversations, seed: int, *, translate: bool
) -> Quality:
    """Answer every held-out sentence at every level of noise; the random state is left alone.

    Strengths up to a level's are drawn as in training; "strongest" has all of them at their limits.
    """
    import torch

    rng = random.Random(f"held out {seed}")

    def ask(phrase: str, heard: str, answer: str, level: str) -> Score:
        fixed = level == "strongest"
        limit = ROBUSTNESS["strong" if fixed else level]
        examples = []
        for row in material.rows:
            noise = limit if fixed else weaker(limit, rng)
            asked = phrase + SEPARATORS[0]
            examples.append(material.ask(asked, row[heard], row[answer], answer, noise, rng))
        return score(model, tokenizer, examples)

    languages = material.languages
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        written = {
            level: {lang: ask(WRITE_DOWN[0], lang, lang, level) for lang in languages}
            for level in (*ROBUSTNESS, "strongest")
        }
        translated = {
            f"{heard}-{answer}": ask(TRANSLATE[0], heard, answer, "none")
            for heard in languages
            for answer in languages
            if translate and heard != answer
        }
    return Quality(written, translated)


def score(model: Any, tokenizer: Any, examples: Sequence[Example]) -> Score:
    """Compare greedy answers with the right ones."""
    import jiwer

    right = [example.answer[:-1] for example in examples]
    given = _answers(model, tokenizer, examples)
    exact = sum(map(list.__eq__, right, given)) / len(right)
    as_words, given_words = ([" ".join(map(str, row)) for row in rows] for rows in (right, given))
    return Score(round(exact, 4), round(jiwer.wer(as_words, given_words), 4))


def _answers(model: Any, tokenizer: Any, examples: Sequence[Example]) -> list[list[int]]:
    """Generate up to the end of turn, or a few pieces more than the longest right answer."""
    import torch

    longest = max(len(example.answer) for example in examples) + 5
    batch = pad([e._replace(answer=[]) for e in examples], tokenizer.pad_token_id, "left")
    with torch.no_grad():
        produced = model.generate(
            inputs_embeds=embed(model, batch),
            attention_mask=batch.attend,
            do_sample=False,
            max_new_tokens=longest,
        )
    end = tokenizer.eos_token_id
    return [row[: row.index(end)] if end in row else row for row in produced.tolist()]

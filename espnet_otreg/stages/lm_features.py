"""Cache the last layer of a masked language model: one array per utterance, for training.

Writes OUTPUT/feats.scp and OUTPUT/features.json, which says what the features were made of. An
interrupted run goes on where it stopped, if it is asked for the same; a folder made of anything
else is refused.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, writing
from espnet_otreg.pretrained import feature_cache
from espnet_otreg.progress import progress
from espnet_otreg.stages.command import run

if TYPE_CHECKING:
    from espnet_otreg.pretrained.masked_lm import LanguageModel


class Item(NamedTuple):
    """One utterance and where its array goes."""

    utt: str
    pieces: list[str]
    path: Path

    @property
    def rows(self) -> int:
        """Count the pieces, [CLS] and [SEP]."""
        return len(self.pieces) + 2


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--lm", required=True, help="language model: a folder or a hub name")
    parser.add_argument(
        "--text", type=Path, required=True, help="text of pieces written by lm_tokens"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument(
        "--dtype", choices=("float16", "float32"), default="float16", help="of the arrays on disk"
    )
    parser.add_argument("--batch_size", type=int, default=64, help="utterances at a time")
    parser.add_argument(
        "--device", default="auto", help="auto takes the first GPU if there is one; cpu; cuda:1"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    run(lambda: cache_features(args))


def cache_features(args: argparse.Namespace) -> None:
    """Embed what is not there yet; `features.json` comes last."""
    with feature_cache.telling_when_full(args.output):
        _cache(args)


def _cache(args: argparse.Namespace) -> None:
    from espnet_otreg.pretrained import lm_features
    from espnet_otreg.pretrained import masked_lm as language_model

    if args.batch_size < 1:
        raise UserError(f"--batch_size must be 1 or more, not {args.batch_size}")
    texts = read_table(args.text)
    items = _items(args.output, texts)
    made_of = {
        "lm": args.lm,
        **lm_features.fingerprint(args.lm)._asdict(),
        "text": lm_features.file_hash(args.text),
        "dtype": args.dtype,
    }
    feature_cache.refuse_strangers(args.output, made_of, "lm", "language model")

    def complete(item: Item, dimension: int) -> bool:
        return feature_cache.is_whole(item.path, dimension, args.dtype, item.rows)

    if feature_cache.is_done(args.output, items, complete):
        return
    feature_cache.start(args.output, made_of)
    lm = language_model.LanguageModel(args.lm, feature_cache.device(args.device))
    _check_pieces(lm, items, args.text)
    todo = [item for item in items if not complete(item, lm.dimension)]
    rows = sum(item.rows for item in todo)
    feature_cache.check_room(args.output, rows, len(todo), lm.dimension, args.dtype)
    _embed(lm, items, todo, args)
    paths = {item.utt: item.path for item in items}
    feature_cache.finish(args.output, paths, made_of, lm.dimension)


def _items(output: Path, texts: Mapping[str, str]) -> list[Item]:
    """Number the utterances in the text's order."""
    return [
        Item(utt, row.split(), feature_cache.array_path(output, n))
        for n, (utt, row) in enumerate(texts.items())
    ]


def _check_pieces(lm: "LanguageModel", items: Sequence[Item], text: Path) -> None:
    """Find all utterances that would stop the run before it begins."""
    problems = [
        f"{item.utt}: {problem}"
        for item in items
        if (problem := lm.tokenizer.problem(item.pieces, lm.max_pieces))
    ]
    if problems:
        raise UserError(
            f"{text}: {len(problems)} of {len(items)} utterances cannot be embedded, first "
            f"{problems[0]}; write the text with lm_tokens and this language model"
        )


def _embed(
    lm: "LanguageModel", items: Sequence[Item], todo: Sequence[Item], args: argparse.Namespace
) -> None:
    there = len(items) - len(todo)
    if there:
        logging.info("%d of %d utterances are there already", there, len(items))
    with progress("embedding", "utt", len(items), initial=there) as bar:
        for batch in feature_cache.batches(todo, lambda item: item.rows, args.batch_size):
            arrays = lm.features([item.pieces for item in batch])
            for item, array in zip(batch, arrays, strict=True):
                content = feature_cache.npy(array, args.dtype, item.utt, args.lm)
                with writing(item.path, "wb") as stream:
                    stream.write(content)
                bar.update()


if __name__ == "__main__":
    main()

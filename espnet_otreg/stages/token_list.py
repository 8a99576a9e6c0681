"""Stage 5: learn the vocabulary with sentencepiece and write ESPnet's token list."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages.command import run

SPACE = "<space>"


def get_parser() -> argparse.ArgumentParser:
    """Options of stage 5."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--text", nargs="+", required=True, help="Kaldi-style text files")
    parser.add_argument("--output", required=True, help="folder for tokens.txt and bpe.model")
    parser.add_argument("--token_type", choices=["bpe", "char"], default="bpe")
    parser.add_argument("--nbpe", type=int, default=300, help="pieces, all symbols included")
    parser.add_argument("--bpemode", choices=["unigram", "bpe"], default="unigram")
    parser.add_argument("--character_coverage", type=float, default=1.0)
    parser.add_argument(
        "--input_sentence_size", type=int, default=5_000_000, help="sample of larger texts"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write `tokens.txt` (blank first, sos/eos last) and, for bpe, `bpe.model`."""
    args = get_parser().parse_args(cmd)
    run(lambda: make_token_list(args))


def make_token_list(args: argparse.Namespace) -> None:
    """Learn the tokens of all texts together."""
    sentences = [line for path in args.text for line in read_table(Path(path)).values() if line]
    if not sentences:
        raise UserError(f"no sentence in {' '.join(args.text)}: run the stages before this one")
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    if args.token_type == "char":
        letters = sorted({letter for line in sentences for letter in line} - {" "})
        tokens = [SPACE, *letters]
    else:
        tokens = _train_bpe(args, sentences, output)
    write_lines(output / "tokens.txt", ["<blank>", "<unk>", *tokens, "<sos/eos>"])
    logging.info("%d tokens from %d sentences in %s", len(tokens) + 3, len(sentences), output)


def _train_bpe(args: argparse.Namespace, sentences: Iterable[str], output: Path) -> list[str]:
    import sentencepiece  # slow to import, and `--help` needs none of it

    prefix = output / "bpe.partial"
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(prefix),
            vocab_size=args.nbpe,
            model_type=args.bpemode,
            character_coverage=args.character_coverage,
            input_sentence_size=args.input_sentence_size,
            shuffle_input_sentence=True,
            minloglevel=1,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"sentencepiece could not learn {args.nbpe} pieces: {error}; "
            "change --nbpe (a small corpus holds few pieces) or --character_coverage"
        ) from error
    model = output / "bpe.model"
    prefix.with_suffix(".partial.model").replace(model)
    prefix.with_suffix(".partial.vocab").unlink()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    own = {"<unk>", "<s>", "</s>"}  # ESPnet's list has its own blank, unk and sos/eos
    names = (pieces.id_to_piece(i) for i in range(pieces.get_piece_size()))
    return [name for name in names if name not in own]


if __name__ == "__main__":
    main()

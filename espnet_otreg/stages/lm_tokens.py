"""Transcripts as pieces of a masked language model, its pieces as the vocabulary, and back.

Three steps, in one call or in several:
  --input text --output text             cut transcripts into pieces (ESPnet: --token_type word)
  --text text ... --token_list tokens.txt [--check text ...]
                                         list the pieces that occur in training; name those that
                                         other sets need and the list lacks
  --input text --output text --inverse   put decoded pieces together again
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages.command import run

if TYPE_CHECKING:
    from espnet_otreg.pretrained.masked_lm import LMTokenizer

OWN = ("<blank>", "<unk>", "<sos/eos>")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm", help="masked language model: a folder or a hub name [none]")
    parser.add_argument(
        "--input", type=Path, nargs="+", default=[], help="Kaldi-style texts to cut or join [none]"
    )
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        default=[],
        help="what becomes of each --input; utterances without pieces in the model are listed, "
        "with the reason, in rejected.tsv in the same folder [none]",
    )
    parser.add_argument(
        "--inverse", action="store_true", help="--input holds pieces; write sentences [false]"
    )
    parser.add_argument(
        "--text", type=Path, nargs="+", default=[], help="training texts of pieces [none]"
    )
    parser.add_argument("--token_list", type=Path, help="tokens.txt, written from --text [none]")
    parser.add_argument(
        "--check",
        type=Path,
        nargs="+",
        default=[],
        help="texts of pieces of other sets: pieces that --token_list lacks are counted, named "
        "and listed in missing_pieces.tsv beside it; they become <unk> [none]",
    )
    parser.add_argument(
        "--require",
        type=Path,
        nargs="+",
        default=[],
        help="of these, texts for which a missing piece is an error [none]",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the steps that are asked for."""
    args = get_parser().parse_args(cmd)
    run(lambda: _steps(args))


def _steps(args: argparse.Namespace) -> None:
    _check_options(args)
    if args.input:
        from espnet_otreg.pretrained.masked_lm import LMTokenizer

        tokenizer = LMTokenizer(args.lm)
        step = join_text if args.inverse else split_text
        for source, output in zip(args.input, args.output, strict=True):
            step(tokenizer, source, output)
    if args.text:
        make_token_list(args.text, args.token_list)
    if args.check:
        check_sets(args.check, args.token_list, args.require)


def _check_options(args: argparse.Namespace) -> None:
    if not (args.input or args.text or args.check):
        raise UserError("nothing to do: give --input and --output, or --text and --token_list")
    if len(args.input) != len(args.output):
        raise UserError(
            f"--input and --output go together: {len(args.input)} and {len(args.output)} files"
        )
    if args.input and not args.lm:
        raise UserError("--input needs --lm, the language model that cuts it into pieces")
    same = {path.resolve() for path in args.input} & {path.resolve() for path in args.output}
    if same:
        raise UserError(f"--output is --input ({min(same)}): choose another file")
    if args.inverse and not args.input:
        raise UserError("--inverse needs --input and --output")
    if (args.text or args.check) and not args.token_list:
        raise UserError("--text and --check need --token_list")


def split_text(tokenizer: "LMTokenizer", source: Path, output: Path) -> None:
    """Write the pieces of every sentence; reject those that the model has no pieces for."""
    from espnet_otreg.pretrained.masked_lm import max_pieces

    limit = max_pieces(tokenizer)
    kept: list[str] = []
    rejected: list[str] = []
    changed: list[str] = []
    for utt, text in read_table(source).items():
        pieces = tokenizer.split(text)
        problem = tokenizer.problem(pieces, limit)
        if problem:
            rejected.append(f"{utt}\t{problem}{_culprits(tokenizer, text)}")
            continue
        kept.append(f"{utt} {' '.join(pieces)}")
        if tokenizer.join(pieces) != " ".join(text.split()):
            changed.append(f"{text!r} comes back as {tokenizer.join(pieces)!r}")
    write_lines(output.parent / "rejected.tsv", rejected)
    if not kept:
        raise UserError(
            f"{source}: no sentence can be said in pieces of {tokenizer.folder}; first: "
            f"{rejected[0]!r}. Choose a language model of this language and spelling"
        )
    write_lines(output, kept)
    logging.info("%s: %d utterances as pieces in %s", source, len(kept), output)
    if rejected:
        logging.warning(
            "%s: %d utterances rejected and listed in %s, first: %s",
            *(source, len(rejected), output.parent / "rejected.tsv", rejected[0]),
        )
    if changed:
        logging.warning(
            "%s: the pieces of %d utterances do not give back the same text (the tokenizer drops "
            "case, accents or spacing), which scoring will count; first: %s",
            *(source, len(changed), changed[0]),
        )


def _culprits(tokenizer: "LMTokenizer", text: str) -> str:
    """Name the words that give a special symbol, if that is what is wrong."""
    words = [word for word in text.split() if tokenizer.special.intersection(tokenizer.split(word))]
    return f" (word {' '.join(words)})" if words else ""


def join_text(tokenizer: "LMTokenizer", source: Path, output: Path) -> None:
    """Write decoded pieces as sentences; every utterance stays, even an empty one."""
    from espnet_otreg.pretrained.masked_lm import pieces_to_text

    decoded = read_table(source)
    lines = (f"{utt} {pieces_to_text(tokenizer, row.split())}" for utt, row in decoded.items())
    write_lines(output, (line.rstrip() for line in lines))
    logging.info("%s: %d utterances as sentences in %s", source, len(decoded), output)


def make_token_list(texts: Iterable[Path], output: Path) -> None:
    """Write the pieces that occur, the most frequent first, between ESPnet's own symbols."""
    counts: Counter[str] = Counter()
    for path in texts:
        for row in read_table(path).values():
            counts.update(row.split())
    clash = sorted(counts.keys() & set(OWN))
    if clash:
        raise UserError(
            f"the texts hold {' '.join(clash)}, ESPnet's own symbols: give texts written by "
            "lm_tokens --input --output"
        )
    if not counts:
        raise UserError("the texts hold no piece: run lm_tokens --input --output first")
    pieces = sorted(counts, key=lambda piece: (-counts[piece], piece))
    write_lines(output, [*OWN[:2], *pieces, OWN[2]])
    logging.info("%d tokens in %s", len(pieces) + len(OWN), output)


def check_sets(texts: Iterable[Path], token_list: Path, required: Iterable[Path] = ()) -> None:
    """Name the pieces that a recogniser with this vocabulary cannot write."""
    if not token_list.is_file():
        raise UserError(f"{token_list} does not exist: write it with --text and --token_list")
    known = set(token_list.read_text(encoding="utf-8").splitlines())
    lines: list[str] = []
    refused: list[str] = []
    for path in texts:
        lost: Counter[str] = Counter()
        first: dict[str, str] = {}
        total = 0
        for utt, row in read_table(path).items():
            total += len(row.split())
            for piece in row.split():
                if piece not in known:
                    lost[piece] += 1
                    first.setdefault(piece, utt)
        lines += [f"{path}\t{piece}\t{n}\t{first[piece]}" for piece, n in lost.most_common()]
        if lost and path in set(required):
            refused.append(
                f"{path}: {' '.join(list(lost)[:20])} (first in {first[next(iter(lost))]})"
            )
        if lost:
            logging.warning(
                "%s: %d of %d pieces (%d different) are not in %s and become <unk>: %s",
                *(path, lost.total(), total, len(lost), token_list, " ".join(list(lost)[:20])),
            )
        else:
            logging.info("%s: all %d pieces are in %s", path, total, token_list)
    listing = token_list.with_name("missing_pieces.tsv")
    write_lines(listing, lines)
    if refused:
        raise UserError(
            f"test sets need pieces that no training text has; listed in {listing}; "
            f"{'; '.join(refused)}. Train on text that has them, or accept them as <unk>: "
            "--allow_missing true of the recipe, here no --require"
        )


if __name__ == "__main__":
    main()

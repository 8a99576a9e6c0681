"""Stage 5 of a speech language model: answers in the pieces of its tokenizer, languages, tokens.

Of every data directory OUTPUT/<set>/ holds

    text        answers as pieces of the tokenizer (ESPnet reads them with --token_type word)
    language    bytes of the language code (text_int)
    transcript  ids of what is said, where the answer is something else (text_int)
    rejected.tsv

and OUTPUT/tokens.txt the pieces of all sets: how the trainer counts, and what a CTC head can write.
OUTPUT/vocabulary.txt lists all the language model's pieces by id, as stock ESPnet's decoder counts.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_lines
from espnet_otreg.stages.command import run
from espnet_otreg.stages.lm_tokens import make_token_list


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm", required=True, help="causal language model: folder or hub name")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="directories with text and utt2lang"
    )
    parser.add_argument(
        "--answer",
        default="text",
        help="file of each directory that holds the answers: text, or text.en for translations "
        "into English [text]",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    run(lambda: make_tokens(args))


def make_tokens(args: argparse.Namespace) -> None:
    """Cut every set's answers; list the pieces."""
    from espnet_otreg.pretrained.causal_lm import load_tokenizer
    from espnet_otreg.pretrained.masked_lm import resolve

    tokenizer = load_tokenizer(resolve(args.lm))
    for folder in args.data:
        _cut(tokenizer, folder, args.answer, args.output / folder.name)
    make_token_list(
        [args.output / folder.name / "text" for folder in args.data], args.output / "tokens.txt"
    )
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    write_lines(args.output / "vocabulary.txt", pieces)


def _cut(tokenizer: Any, folder: Path, answer: str, output: Path) -> None:
    """Write one set."""
    spoken, languages = read_table(folder / "text"), read_table(folder / "utt2lang")
    answers = read_table(folder / answer)
    if spoken.keys() != languages.keys():
        raise UserError(f"{folder}: text and utt2lang list different utterances: run stage 4 again")
    rows: dict[str, list[str]] = {}
    rejected: list[str] = []
    changed: list[str] = []
    for utt in spoken:
        text = answers.get(utt, "")
        pieces = tokenizer.tokenize(text)
        problem = _problem(tokenizer, pieces)
        if problem:
            rejected.append(f"{utt}\t{problem}")
            continue
        rows[utt] = pieces
        back = tokenizer.decode(tokenizer.convert_tokens_to_ids(pieces))
        if " ".join(back.split()) != " ".join(text.split()):
            changed.append(f"{text!r} comes back as {back!r}")
    write_lines(output / "rejected.tsv", rejected)
    if not rows:
        raise UserError(f"{folder / answer}: no answer can be said in pieces: {rejected[0]!r}")
    write_lines(output / "text", [f"{utt} {' '.join(pieces)}" for utt, pieces in rows.items()])
    write_lines(
        output / "language",
        [f"{utt} {' '.join(map(str, languages[utt].encode()))}" for utt in rows],
    )
    if answer != "text":
        ids = {utt: tokenizer(spoken[utt], add_special_tokens=False)["input_ids"] for utt in rows}
        write_lines(
            output / "transcript", [f"{utt} {' '.join(map(str, row))}" for utt, row in ids.items()]
        )
    logging.info("%s: %d answers as pieces in %s", folder, len(rows), output)
    if rejected:
        logging.warning(
            "%s: %d utterances rejected and listed in %s, first: %s",
            *(folder, len(rejected), output / "rejected.tsv", rejected[0]),
        )
    if changed:
        logging.warning(
            "%s: the pieces of %d answers do not give back the same text; first: %s",
            *(folder, len(changed), changed[0]),
        )


def _problem(tokenizer: Any, pieces: Sequence[str]) -> str:
    """Say why these pieces are no answer; nothing if they are."""
    if not pieces:
        return "no piece: the answer is empty"
    special = sorted(set(tokenizer.all_special_tokens).intersection(pieces))
    if special:
        return f"symbol {' '.join(special)} of the language model among the pieces"
    blank = [piece for piece in pieces if piece.split() != [piece]]
    return f"piece {blank[0]!r} holds a space, and spaces separate pieces" if blank else ""


if __name__ == "__main__":
    main()

"""Score a decoded test set, this project's or anybody's: WER and CER, per language and in total.

    python -m espnet_otreg.stages.score --ref DATA --hyp system.txt --output out/score.json
    python -m espnet_otreg.stages.score --ref DATA --hyp ours=text theirs=x.jsonl --normalisers all

The first form scores one system under one normaliser, for stages.compare. The second scores the
same hypotheses of one or more systems under several normalisers, to see what a rate owes to them
and whether the order of the systems stays. Hypotheses are `utterance words` lines, .tsv or .csv
with a header, or .jsonl; of audio_filepath, audio, path or file the name without folder and ending
counts as the utterance.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_json, writing
from espnet_otreg.languages import find_language
from espnet_otreg.scoring.failures import MODES, UNRELATED, warning_of_unrelated
from espnet_otreg.scoring.hypotheses import (
    WITH_FIELDS,
    Matched,
    match,
    name_by_text,
    read_hypotheses,
)
from espnet_otreg.scoring.normalise import KNOW_ENGLISH, NORMALISERS, get_normaliser
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.sensitivity import (
    sensitivity,
    sensitivity_document,
    sensitivity_json,
    sensitivity_notes,
    sensitivity_table,
)
from espnet_otreg.scoring.tables import Table, percent, plain
from espnet_otreg.scoring.wer import TOTAL, Counts, Summary, score
from espnet_otreg.stages.command import command_line, run

PROGRAM = "python -m espnet_otreg.stages.score"


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, formatter_class=raw)
    parser.add_argument(
        "--ref", type=Path, required=True, help="data directory with text, utt2spk, utt2lang"
    )
    parser.add_argument(
        "--hyp",
        nargs="+",
        required=True,
        help="decoded text; with --normalisers several, each as name=file",
    )
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        default=[],
        help="JSON file to write; counts per utterance go beside it, as <name>.per_utt.tsv. With "
        "--normalisers the table, as .md, .json or both (default: printed only)",
    )
    normalisers = parser.add_mutually_exclusive_group()
    normalisers.add_argument(
        "--normaliser",
        choices=sorted(NORMALISERS),
        default="basic",
        help="what is done to both texts first: basic, ours; whisper_english, Whisper's for "
        "English, and its basic one for other languages; whisper_basic, Whisper's for all "
        "languages, which breaks Indic and Thai words; open_asr, that of the Open ASR leaderboard; "
        "none (default: %(default)s)",
    )
    normalisers.add_argument(
        "--normalisers",
        nargs="+",
        choices=[*sorted(NORMALISERS), "all"],
        help="print the table of what each makes of the same hypotheses",
    )
    parser.add_argument(
        "--text_field",
        help="field of the hypothesis in .tsv, .csv and .jsonl (default: found by its name)",
    )
    parser.add_argument(
        "--missing",
        choices=["error", "empty"],
        default="error",
        help="what an utterance without hypothesis is; empty: every word deleted (default: "
        "%(default)s). It cannot be left out: that would be another test set",
    )
    parser.add_argument(
        "--extra",
        choices=["error", "ignore"],
        default="error",
        help="what a hypothesis without reference is (default: %(default)s)",
    )
    parser.add_argument(
        "--languages",
        type=Path,
        help="table of `utterance language` (default: utt2lang of --ref)",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Score, write, and print a table."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(given)
    if args.normalisers is None:
        run(lambda: _score(args))
    else:
        run(lambda: _sensitivity(args, command_line(PROGRAM, given)))


def _score(args: argparse.Namespace) -> None:
    if len(args.output) != 1 or args.output[0].suffix != ".json":
        given = " ".join(map(str, args.output)) or "nothing"
        raise UserError(f"--output is one file here, and should end in .json, not {given}")
    if len(args.hyp) != 1:
        raise UserError("score one --hyp at a time, or compare several under --normalisers")
    output, hypothesis = args.output[0], Path(args.hyp[0])
    references = read_table(args.ref / "text")
    matched = _matched(args, references, hypothesis)
    utterances = score(
        references, matched.hypotheses, normaliser=args.normaliser, **_data_tables(args)
    )
    facts = {
        "reference": str(args.ref),
        "hypothesis": str(hypothesis),
        "missing_hypotheses": matched.missing,
        "ignored_hypotheses": matched.extra,
    }
    summaries = save_score(output, utterances, args.normaliser, facts)
    print(f"{hypothesis} against {args.ref}, normaliser {args.normaliser}, in %")
    print(plain(_table(summaries)))
    total = summaries[TOTAL]
    warning = warning_of_unrelated(str(hypothesis), total.failures[UNRELATED] / total.utterances)
    if warning is not None:
        logging.warning("%s", warning)


def _sensitivity(args: argparse.Namespace, command: str) -> None:
    wrong = [path for path in args.output if path.suffix not in (".md", ".json")]
    if wrong:
        raise UserError(f"--output should end in .md or .json, not {wrong[0]}")
    files = _systems(args.hyp)
    references = read_table(args.ref / "text")
    systems = {name: _matched(args, references, path) for name, path in files.items()}
    tables = _data_tables(args)
    chosen = (
        list(NORMALISERS) if "all" in args.normalisers else list(dict.fromkeys(args.normalisers))
    )
    if "all" in args.normalisers:
        chosen = [name for name in chosen if _is_possible(name, tables["languages"] is not None)]
    hypotheses = {name: matched.hypotheses for name, matched in systems.items()}
    found = sensitivity(references, hypotheses, chosen, **tables)
    for path in args.output:
        if path.suffix == ".md":
            with writing(path) as stream:
                stream.write(sensitivity_document(found, str(args.ref), command))
        else:
            sources = {
                name: {
                    "file": str(files[name]),
                    "missing_hypotheses": matched.missing,
                    "ignored_hypotheses": matched.extra,
                }
                for name, matched in systems.items()
            }
            facts = {"command": command, "reference": str(args.ref), "systems": sources}
            write_json(path, {**facts, **sensitivity_json(found)})
    print(plain(sensitivity_table(found)))
    print("\n".join(sensitivity_notes(found)))


def _is_possible(name: str, languages: bool) -> bool:
    if not languages and name in KNOW_ENGLISH:
        logging.warning("%s is left out: without utt2lang, what is English?", name)
        return False
    try:
        get_normaliser(name)
    except UserError as error:  # its package is not installed
        logging.warning("%s is left out: %s", name, error)
        return False
    return True


def _systems(given: Sequence[str]) -> dict[str, Path]:
    """Read `name=file`; a file alone is called by its path."""
    systems: dict[str, Path] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or Path(text).exists():
            name = path = text
        if not name or not path:
            raise UserError(f"--hyp {text} should be a file, or name=file")
        if name in systems:
            raise UserError(f"two hypotheses are called {name}; give each a name: name=file")
        systems[name] = Path(path)
    return systems


def _matched(args: argparse.Namespace, references: dict[str, str], path: Path) -> Matched:
    # of several systems, one may come as words alone: the field is then the others'
    named = len(args.hyp) == 1 or path.suffix.lower() in WITH_FIELDS
    hypotheses = read_hypotheses(path, args.text_field if named else None)
    matched = match(
        references,
        name_by_text(path, hypotheses, references),
        path,
        missing_as_empty=args.missing == "empty",
        ignore_extra=args.extra == "ignore",
    )
    if matched.missing:
        logging.warning("%s: %d missing utterances count as empty", path, matched.missing)
    if matched.extra:
        logging.warning("%s: %d utterances without reference are left out", path, matched.extra)
    return matched


def _data_tables(args: argparse.Namespace) -> dict[str, dict[str, str] | None]:
    speakers = _optional_table(
        args.ref / "utt2spk", "each utterance counts as a speaker of its own"
    )
    if args.languages:
        languages: dict[str, str] | None = read_table(args.languages)
    else:
        languages = _optional_table(args.ref / "utt2lang", "everything counts as one language")
    unknown = sorted({code for code in (languages or {}).values() if find_language(code) is None})
    if unknown:
        logging.warning(
            "languages not known to espnet_otreg/languages.py, so scored by words: %s; use ISO 639 "
            "codes where words have no spaces between them",
            ", ".join(unknown),
        )
    return {"speakers": speakers, "languages": languages}


def _optional_table(path: Path, otherwise: str) -> dict[str, str] | None:
    if path.is_file():
        return read_table(path)
    logging.warning("%s does not exist: %s", path, otherwise)
    return None


def _table(summaries: dict[str, Summary]) -> Table:
    header = ["language", "metric", "utterances", "speakers", "words"]
    header += ["rate", "sub", "del", "ins", "WER", "CER", "sentence", *MODES]
    rows = []
    for language, part in summaries.items():
        main = part.primary
        sizes = [f"{n:,}" for n in (part.utterances, part.speakers, part.words.reference)]
        kinds = (main.errors, main.substitutions, main.deletions, main.insertions)
        figures = [_share(number, main) for number in kinds]
        figures += [_share(counts.errors, counts) for counts in (part.words, part.characters)]
        figures += [percent(part.sentence_error_rate)]
        figures += [percent(number / part.utterances) for number in part.failures.values()]
        rows.append([language, part.metric, *sizes, *figures])
    return Table(header, rows, text_columns=2)


def _share(count: int, counts: Counts) -> str:
    return percent(count / counts.reference if counts.reference else float("nan"))


if __name__ == "__main__":
    main()

"""Stage 1: a corpus as downloaded becomes one data directory per split.

Each `OUTPUT/<corpus>_<split>/` holds wav.scp, text, utt2spk, spk2utt, utt2lang, `text.<language>`
where there are translations, utt2license and utt2attribution where the corpus tells them, and
rejected.tsv: every utterance left out, with the reason.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from espnet_otreg.corpora import CORPORA, table, table_hub
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import (
    Corpus,
    Prepared,
    Record,
    Rejected,
    by_category,
    counts,
    write_rejected,
)
from espnet_otreg.corpora.trainable import normalise_transcript
from espnet_otreg.errors import UserError
from espnet_otreg.stages.command import run


def get_parser() -> argparse.ArgumentParser:
    """Options of stage 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--corpus", required=True, choices=sorted(CORPORA), help="layout to read")
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        help="folder that holds the corpus; table: hub:OWNER/NAME too, whose Parquet files of the "
        "languages and splits are fetched to DOWNLOADS/hub",
    )
    parser.add_argument(
        "--languages", nargs="+", default=["en", "es", "fr"], help="codes, or `all`"
    )
    parser.add_argument("--splits", nargs="+", default=["train", "dev", "test"], help="splits")
    parser.add_argument(
        "--output", type=Path, default=Path("data"), help="data directories' parent"
    )
    parser.add_argument("--work", type=Path, help="where archives are unpacked [OUTPUT/unpacked]")
    parser.add_argument(
        "--text",
        choices=("lower", "raw"),
        default="lower",
        help="lower: lower case, no punctuation but word-internal apostrophes; raw: as delivered",
    )
    parser.add_argument(
        "--target",
        help="covost2, table: language of the translations to keep; without one an utterance is "
        "rejected",
    )
    parser.add_argument(
        "--translations",
        choices=("lower", "raw"),
        default="raw",
        help="what --text says of transcripts, of translations; BLEU is compared on raw ones",
    )
    parser.add_argument(
        "--ids",
        choices=("corpus", "speaker"),
        default="corpus",
        help="what they begin with; speaker: the directories are for Kaldi's tools, such as those "
        "of ESPnet's asr.sh",
    )
    parser.add_argument("--release", help="commonvoice: folder to read where there are several")
    parser.add_argument("--text_column", help="fleurs: 'raw' or 'normalised' [normalised]")
    parser.add_argument(
        "--max_rejected",
        type=float,
        default=0.1,
        help="share of unusable utterances from which on a language's split is refused",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Prepare every split of one corpus."""
    args = get_parser().parse_args(cmd)
    run(lambda: prepare_data(args))


def prepare_data(args: argparse.Namespace) -> None:
    """Read all languages of each split, then write the split's directory."""
    corpus = CORPORA[args.corpus]
    options = _corpus_options(corpus, args)
    if not 0 <= args.max_rejected <= 1:
        raise UserError(f"--max_rejected {args.max_rejected:g}: expected a share from 0 to 1")
    root = _root(corpus, args)
    work = (args.work or args.output / "unpacked") / args.corpus
    languages = _languages(corpus, root, _words(args.languages), options)
    for split in _words(args.splits):
        folder = args.output / f"{args.corpus}_{split}"
        records: list[Record] = []
        rejected: list[Rejected] = []
        taken: dict[str, str] = {}  # utterance id -> its language, as it was asked for
        for language in languages:
            prepared = corpus.prepare(root, language, split, work, **options)
            kept, lost = _usable(prepared, args)
            _report(folder.name, language, kept, lost, prepared.notes)
            _refuse_one_language_twice(taken, kept, language)
            records += kept
            rejected += lost
            refusal = _refusal(f"{args.corpus} {split} '{language}'", kept, lost, args.max_rejected)
            if refusal:
                # tables of an earlier run would not belong to the list
                (folder / "wav.scp").unlink(missing_ok=True)
                write_rejected(folder / "rejected.tsv", rejected)
                raise UserError(f"{refusal} Each one is in {folder / 'rejected.tsv'}.")
        data = to_data_dir(records)
        if args.ids == "speaker":
            data = data.speaker_first()
        data.validate(folder)
        write_rejected(folder / "rejected.tsv", rejected)
        data.save(folder)


def _root(corpus: Corpus, args: argparse.Namespace) -> Path:
    """Return the folder to read, in which a hub's files are by then."""
    if corpus.NAME == table.NAME and table_hub.is_hub_name(args.root):
        asked = (_words(args.languages), _words(args.splits))
        return table_hub.fetch_tables(args.root, *asked, args.target)
    if not args.root.is_dir():
        raise UserError(
            f"{args.root} is not a folder. Unpack the corpus and set {corpus.VARIABLE} in db.sh "
            "(or --root) to where it lies."
        )
    return args.root


def _refuse_one_language_twice(
    taken: dict[str, str], kept: Sequence[Record], language: str
) -> None:
    """Note a language's ids; stop where another has them, as FLEURS' en and en_us would."""
    for record in kept:
        other = taken.setdefault(record.utt_id, language)
        if other != language:
            raise UserError(
                f"--languages: '{other}' and '{language}' both have utterance {record.utt_id}; "
                "expected languages without common ids. Leave one of the two out."
            )


def to_data_dir(records: Sequence[Record]) -> DataDir:
    """Arrange records, whose ids must be unique, as tables."""
    tables: dict[str, dict[str, str]] = {}
    fields: dict[str, Callable[[Record], str]] = {
        "wav.scp": lambda record: record.audio,
        "text": lambda record: record.text,
        "utt2spk": lambda record: record.speaker,
        "utt2lang": lambda record: record.language,
    }
    for name, value in fields.items():
        tables[name] = {record.utt_id: value(record) for record in records}
    for name, fact in (("utt2license", "license"), ("utt2attribution", "attribution")):
        known = {record.utt_id: getattr(record, fact) for record in records}
        if records and all(known.values()):  # a table covers the set, or is not there
            tables[name] = known
    for record in records:
        if record.translation:
            tables.setdefault(f"text.{record.target}", {})[record.utt_id] = record.translation
    return DataDir(tables)


def _words(arguments: Sequence[str]) -> list[str]:
    """Accept `en es` and, as shell recipes quote lists, "en es"."""
    return " ".join(arguments).split()


def _languages(corpus: Corpus, root: Path, asked: list[str], options: dict[str, str]) -> list[str]:
    """Return those asked for that the corpus has; one list serves corpora of other languages too.

    A language that the corpus has, but whose folder is absent, is left to its reader to refuse.
    """
    named = corpus.NAME + "".join(f" with --{name} {value}" for name, value in options.items())
    if asked == ["all"]:
        present = corpus.languages(root, **options)
        if not present:
            raise UserError(
                f"--languages all: no language of {named} is in {root}. Set "
                f"{corpus.VARIABLE} in db.sh (or --root) to the folder that holds it."
            )
        logging.info("%s: all languages present: %s", named, " ".join(present))
        return present
    target = options.get("target")  # nothing is translated into its own language
    chosen = [
        language
        for language in dict.fromkeys(asked)
        if corpus.has_language(language) and language != target
    ]
    passed_over = [language for language in asked if language not in chosen]
    if not chosen:
        raise UserError(
            f"{named} has none of the languages asked for ({' '.join(asked) or 'none'}): "
            "leave the corpus out, or ask for one that it has."
        )
    if passed_over:
        logging.warning("%s does not have %s: passed over", named, " ".join(passed_over))
    return chosen


def _corpus_options(corpus: Corpus, args: argparse.Namespace) -> dict[str, str]:
    """Pass on the options given; one that the corpus does not know is an error."""
    given = {name: getattr(args, name) for name in ("target", "release", "text_column")}
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in corpus.OPTIONS:
            raise UserError(f"--{name} means nothing for {corpus.NAME}: leave it out.")
    return options


def _usable(prepared: Prepared, args: argparse.Namespace) -> tuple[list[Record], list[Rejected]]:
    """Normalise what is to be; reject what it leaves empty and ids that come twice."""
    kept: dict[str, Record] = {}
    rejected = list(prepared.rejected)
    for record in prepared.records:
        if args.text == "lower":
            record = record._replace(text=normalise_transcript(record.text, record.language))
        if args.translations == "lower" and record.translation and record.target:
            plain = normalise_transcript(record.translation, record.target)
            record = record._replace(translation=plain)
        if not record.text:
            rejected.append(Rejected(record.utt_id, "nothing but punctuation"))
        elif args.target and not record.translation:
            reason = "nothing but punctuation in the translation"
            rejected.append(Rejected(record.utt_id, reason))
        elif record.utt_id in kept:
            reason = f"utterance id is taken: {record.audio}, {kept[record.utt_id].audio}"
            rejected.append(Rejected(record.utt_id, reason))
        else:
            kept[record.utt_id] = record
    return list(kept.values()), rejected


def _refusal(what: str, kept: list[Record], lost: list[Rejected], max_rejected: float) -> str:
    """Say why one language's split is not to be used; empty if it is."""
    reasons, total = counts(by_category(lost)), len(kept) + len(lost)
    if not kept:
        return f"no usable utterance in {what}: {reasons}."
    if len(lost) / total <= max_rejected:
        return ""
    return (
        f"{len(lost)} of {total} utterances of {what} cannot be used ({reasons}); "
        f"--max_rejected allows a share of {max_rejected:g}."
    )


def _report(
    name: str, language: str, kept: list[Record], lost: list[Rejected], notes: Counter[str]
) -> None:
    """Say what came out of one language."""
    speakers = len({record.speaker for record in kept})
    logging.info("%s %s: %d utterances, %d speakers", name, language, len(kept), speakers)
    if lost:
        reasons = counts(by_category(lost))
        logging.warning("%s %s: %d rejected: %s", name, language, len(lost), reasons)
    if notes:
        logging.info("%s %s: %s", name, language, counts(notes))


if __name__ == "__main__":
    main()

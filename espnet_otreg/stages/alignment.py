"""Measure alignments against true word times: a detection problem, with a table as its answer.

For every experiment and test set: the model's own alignment (`model: ot_transfer`), its decoder's
attention where it has one, and CTC forced alignment from the same model, as CTC emits it and with
gaps closed. True times come from the `word_times.jsonl` of the mini corpora; `stages.word_times`
makes such a file of a Whisper's guesses. Where there are none, the CTC alignment with gaps closed
serves as truth.
"""

import argparse
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import nan_to_null, read_table, write_json, write_lines
from espnet_otreg.pretrained.feature_cache import features_of
from espnet_otreg.stages.command import command_line, run

PROGRAM = "python -m espnet_otreg.stages.alignment"
HEADER = ["set", "system", "alignment", "precision", "recall", "F1", "± seeds", "coverage"]
HEADER += ["silence AUC", "boundary ms", "missed words", "monotone"]


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    experiments = "experiment folders; one per training seed, joined by commas"
    parser.add_argument("--systems", nargs="+", required=True, help=experiments)
    parser.add_argument("--names", nargs="+", help="names for the table (default: folders)")
    parser.add_argument("--model_file", default="train.total_count.ave.pth", help="in each folder")
    parser.add_argument("--lm", required=True, help="masked language model: its pieces are tokens")
    parser.add_argument("--sets", nargs="+", required=True, help="data directories (dump/raw/...)")
    parser.add_argument("--word_times", type=Path, help="word_times.jsonl of the mini corpora")
    parser.add_argument(
        "--features",
        type=Path,
        nargs="+",
        help="frames of a pretrained frontend, to be read instead of recordings, as decode_sets "
        "takes them",
    )
    parser.add_argument("--hop", type=float, required=True, help="seconds per encoder frame")
    parser.add_argument(
        "--longest_gap",
        type=float,
        default=0.4,
        help="seconds up to which a gap between CTC's tokens is closed in its second row",
    )
    parser.add_argument("--batch_size", type=int, default=1, help="utterances at a time")
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU")
    parser.add_argument("--output", type=Path, required=True, help="Markdown page to write")
    parser.add_argument("--json", type=Path, required=True, help="JSON file to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure, write the page and the JSON, and print the table."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(given)
    run(lambda: _measure_all(args, command_line(PROGRAM, given)))


def _measure_all(args: argparse.Namespace, command: str) -> None:
    from espnet_otreg.pretrained.masked_lm import LanguageModel
    from espnet_otreg.scoring.provenance import provenance
    from espnet_otreg.scoring.results import parse_systems
    from espnet_otreg.scoring.tables import Table, markdown, plain

    teacher = LanguageModel(args.lm, _device(args))
    sets = [Path(folder) for folder in args.sets]
    cached = features_of(args.features, sets)
    tests = [_read_set(*each, args.word_times) for each in zip(sets, cached, strict=True)]
    results: dict[tuple[str, str, str], list[Any]] = {}
    left_out: dict[str, dict[str, str]] = {}  # experiment -> utterance -> why
    for system in parse_systems(args.systems, args.names):
        for folder in system.folders:
            model = _load(args, folder)
            for test in tests:
                problems = left_out.setdefault(os.path.relpath(folder), {})
                measured = _measure(args, model, teacher, test, problems)
                if not measured:
                    raise UserError(
                        f"{folder}: no utterance of {test.name} could be aligned, the last since "
                        f"{next(reversed(problems.values()), 'the set is empty')}"
                    )
                for method, counts in measured.items():
                    results.setdefault((test.name, system.name, method), []).append(counts)
            logging.info("%s: aligned", folder)
    order = [test.name for test in tests]
    ordered = sorted(results.items(), key=lambda item: order.index(item[0][0]))
    table = Table(HEADER, [_row(*key, seeds) for key, seeds in ordered], text_columns=3)
    figures = [
        {
            **dict(zip(("set", "system", "alignment"), key, strict=True)),
            "seeds": [counts.figures() for counts in seeds],
        }
        for key, seeds in ordered
    ]
    made_by = provenance(command)
    write_lines(args.output, _page(markdown(table), made_by, args, left_out))
    content = {"alignments": figures, "left_out": left_out, "provenance": made_by._asdict()}
    write_json(args.json, nan_to_null(content))
    print(plain(table))


class SpokenSet(NamedTuple):
    """A data directory, with the true words of every utterance where they are known."""

    name: str
    audio: dict[str, str]  # recordings, or files of a frontend's frames
    texts: dict[str, str]
    words: dict[str, Any] | None  # utterance -> words with their times


def _read_set(folder: Path, cached: Path | None, word_times: Path | None) -> SpokenSet:
    import soundfile

    from espnet_otreg.measure.truth import read_word_times

    audio, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    heard = read_table(cached / "feats.scp") if cached else audio
    if word_times is None:
        return SpokenSet(folder.name, heard, texts, None)
    clips = {utt: soundfile.info(path) for utt, path in audio.items()}
    seconds = {utt: clip.frames / clip.samplerate for utt, clip in clips.items()}
    return SpokenSet(folder.name, heard, texts, read_word_times(word_times, seconds))


def _measure(
    args: argparse.Namespace, model: Any, teacher: Any, test: SpokenSet, problems: dict[str, str]
) -> dict[str, Any]:
    """Counts of one model on one set by method, summed over utterances; `problems` is added to."""
    from espnet_otreg.decode.batches import padded_batches
    from espnet_otreg.measure.alignment_scores import measure, total
    from espnet_otreg.measure.model_plans import CLOSED, align_batch
    from espnet_otreg.measure.truth import make_truth, truth_of_plan, words_of_tokens

    counts: dict[str, list[Any]] = {}
    gap = round(args.longest_gap / args.hop)
    for batch, speech, lengths in padded_batches(test.audio, args.batch_size, _device(args)):
        pieces = [teacher.tokenizer.split(test.texts[utt]) for utt in batch]
        found = align_batch(model, speech, lengths, pieces, teacher, longest_gap=gap)
        for utt, own, aligned in zip(batch, pieces, found, strict=True):
            if aligned.problem:
                problems[utt] = aligned.problem
                continue
            tokens = ["[CLS]", *own, "[SEP]"]
            if test.words is not None:
                truth = make_truth(test.words[utt], tokens, aligned.frames, args.hop)
            else:
                owner = words_of_tokens(tokens, test.texts[utt].split())
                truth = truth_of_plan(aligned.plans[CLOSED], owner, args.hop)
            for method, plan in aligned.plans.items():
                counts.setdefault(method, []).append(measure(plan, truth))
    return {method: total(parts) for method, parts in counts.items()}


def _device(args: argparse.Namespace) -> str:
    return "cuda" if args.ngpu else "cpu"


def _load(args: argparse.Namespace, folder: Path) -> Any:
    """Load a recogniser, and check that --lm is the language model that taught it."""
    from espnet_otreg.models.teacher import FEATURES
    from espnet_otreg.pretrained.lm_features import check_features
    from espnet_otreg.tasks.asr import ASRTask

    for needed in (folder / "config.yaml", folder / args.model_file):
        if not needed.exists():
            raise UserError(f"{needed} does not exist: train first, or check --model_file")
    model, options = ASRTask.build_model_from_file(
        str(folder / "config.yaml"), str(folder / args.model_file), _device(args)
    )
    for path, name, _ in options.train_data_path_and_name_and_type:
        if name == FEATURES:
            check_features(path, args.lm)
    return model.eval()


def _row(name: str, system: str, method: str, seeds: list[Any]) -> list[str]:
    from espnet_otreg.measure.alignment_scores import total

    figures = total(seeds).figures()
    spread = "–"
    if len(seeds) > 1:
        spread = f"{100 * statistics.stdev(counts.f1 for counts in seeds):.1f}"
    percents = [f"{100 * figures[key]:.1f}" for key in ("precision", "recall", "f1")]
    rest = [f"{100 * figures['coverage']:.1f}", f"{figures['silence_auc']:.3f}"]
    rest += [f"{figures['boundary_ms']:.0f}"]
    rest += [f"{100 * figures[key]:.1f}" for key in ("missed", "monotonicity")]
    return [name, system, method, *percents, spread, *rest]


def _page(
    table: str, made_by: Any, args: argparse.Namespace, left_out: dict[str, dict[str, str]]
) -> list[str]:
    from espnet_otreg.measure.truth import told_by_model

    against = "Against the CTC row."
    if args.word_times:
        against = "Against true word times."
        if told_by_model(args.word_times):
            against = "Against word times that a Whisper told, which are no truth."
    return [
        "# Alignment quality",
        "",
        "In %, except the area under the silence ROC curve and the boundary error. A pair of frame "
        "and token is right when the frame's centre lies in the token's word; tokens share the "
        "span of their word. Precision, recall and F1 are over such pairs, coverage is the share "
        "of tokens with a right frame, silence AUC how often a speech frame outweighs a silent "
        "one (0.5: the mass tells nothing), boundaries are those of words. Sums over sums, all "
        f"seeds together. {against} A frame is {1000 * args.hop:g} ms; gaps up to "
        f"{args.longest_gap:g} s are closed where said.",
        "",
        table,
        "",
        f"Left out: {sum(map(len, left_out.values()))} utterances.",
        *(
            f"- {folder}, {utt}: {problem}"
            for folder, problems in left_out.items()
            for utt, problem in problems.items()
        ),
        "",
        *(f"- {key}: {value}" for key, value in made_by._asdict().items()),
    ]


if __name__ == "__main__":
    main()

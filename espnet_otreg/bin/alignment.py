"""Measure alignments against true word times: a detection problem, with a table as its answer.

For every experiment and test set: the model's own alignment (`model: ot_transfer`) and CTC forced
alignment from the same model, as CTC emits it and with gaps closed. True times come from the
`word_times.jsonl` of the mini corpora; where there are none, the CTC alignment with gaps closed
serves as truth.
"""

import argparse
import logging
import shlex
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.bin.cli import run
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_json, write_lines

PROGRAM = "python -m espnet_otreg.bin.alignment"
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
    parser.add_argument("--model_file", default="valid.loss_ctc.ave.pth", help="in each folder")
    parser.add_argument("--lm", required=True, help="masked language model: its pieces are tokens")
    parser.add_argument("--sets", nargs="+", required=True, help="data directories (dump/raw/...)")
    parser.add_argument("--word_times", type=Path, help="word_times.jsonl of the mini corpora")
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
    run(lambda: _measure_all(args, f"{PROGRAM} {shlex.join(given)}"))


def _measure_all(args: argparse.Namespace, command: str) -> None:
    from espnet_otreg.scoring.provenance import provenance
    from espnet_otreg.scoring.results import parse_systems
    from espnet_otreg.scoring.tables import Table, markdown, plain

    rows: list[list[str]] = []
    figures: list[dict[str, Any]] = []
    systems = parse_systems(args.systems, args.names)
    results: dict[tuple[str, str, str], list[Any]] = {}
    for system in systems:
        for folder in system.folders:
            for (name, method), counts in _of_experiment(args, folder).items():
                results.setdefault((name, system.name, method), []).append(counts)
            logging.info("%s: aligned", folder)
    order = [Path(folder).name for folder in args.sets]
    for (name, system_name, method), seeds in sorted(
        results.items(), key=lambda item: order.index(item[0][0])
    ):
        rows.append(_row(name, system_name, method, seeds))
        figures.append(
            {
                "set": name,
                "system": system_name,
                "alignment": method,
                "seeds": [_finite(counts.figures()) for counts in seeds],
            }
        )
    table = Table(HEADER, rows, text_columns=3)
    made_by = provenance(command)
    write_lines(args.output, _page(markdown(table), made_by, args))
    write_json(args.json, {"alignments": figures, "provenance": made_by._asdict()})
    print(plain(table))


def _of_experiment(args: argparse.Namespace, folder: Path) -> dict[tuple[str, str], Any]:
    """Counts of one trained model by (set, method), summed over utterances."""
    from espnet_otreg.analysis.alignment import measure, total
    from espnet_otreg.analysis.truth import make_truth, truth_of_plan, words_of_tokens
    from espnet_otreg.decode.alignments import CLOSED

    counts: dict[tuple[str, str], list[Any]] = {}
    left_out = []
    for name, utt, words, tokens, aligned in _aligned(args, folder):
        if aligned.problem:
            left_out.append(f"{name} {utt}: {aligned.problem}")
            continue
        if args.word_times:
            truth = make_truth(words, tokens, aligned.frames, args.hop)
        else:
            owner = words_of_tokens(tokens, words)
            truth = truth_of_plan(aligned.plans[CLOSED], owner, args.hop)
        for method, plan in aligned.plans.items():
            counts.setdefault((name, method), []).append(measure(plan, truth))
    if left_out:
        logging.warning("%s: %d utterances left out, first %s", folder, len(left_out), left_out[0])
    if not counts:
        raise UserError(f"{folder}: no utterance could be aligned; first {left_out[:1]}")
    return {key: total(parts) for key, parts in counts.items()}


def _aligned(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Yield set, utterance, words, tokens with [CLS] and [SEP], and the plans."""
    import soundfile
    import torch

    from espnet_otreg.analysis.truth import read_word_times
    from espnet_otreg.decode.alignments import align_batch

    device = "cuda" if args.ngpu else "cpu"
    model, teacher = _load(args, folder, device)
    for data in map(Path, args.sets):
        audio, texts = read_table(data / "wav.scp"), read_table(data / "text")
        lengths = {utt: soundfile.info(path) for utt, path in audio.items()}
        seconds = {utt: info.frames / info.samplerate for utt, info in lengths.items()}
        words: dict[str, Any] = {utt: text.split() for utt, text in texts.items()}
        if args.word_times:
            words = dict(read_word_times(args.word_times, seconds))
        order = sorted(audio, key=lambda utt: -seconds[utt])
        for start in range(0, len(order), args.batch_size):
            batch = order[start : start + args.batch_size]
            clips = [
                torch.from_numpy(soundfile.read(audio[utt], dtype="float32")[0]) for utt in batch
            ]
            samples = torch.tensor([len(clip) for clip in clips]).to(device)
            speech = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True).to(device)
            pieces = [teacher.tokenizer.split(texts[utt]) for utt in batch]
            found = align_batch(
                *(model, speech, samples, pieces, teacher),
                longest_gap=round(args.longest_gap / args.hop),
            )
            for utt, tokens, aligned in zip(batch, pieces, found, strict=True):
                yield data.name, utt, words[utt], ["[CLS]", *tokens, "[SEP]"], aligned


def _load(args: argparse.Namespace, folder: Path, device: str) -> tuple[Any, Any]:
    """Load the recogniser and the language model that taught it."""
    from espnet_otreg.models.language_model import LanguageModel
    from espnet_otreg.models.lm_cache import check_features
    from espnet_otreg.models.transfer import FEATURES
    from espnet_otreg.tasks.asr import ASRTask

    for needed in (folder / "config.yaml", folder / args.model_file):
        if not needed.exists():
            raise UserError(f"{needed} does not exist: train first, or check --model_file")
    model, options = ASRTask.build_model_from_file(
        str(folder / "config.yaml"), str(folder / args.model_file), device
    )
    for path, name, _ in options.train_data_path_and_name_and_type:
        if name == FEATURES:
            check_features(path, args.lm)
    return model.eval(), LanguageModel(args.lm, device)


def _row(name: str, system: str, method: str, seeds: list[Any]) -> list[str]:
    from espnet_otreg.analysis.alignment import total

    figures = total(seeds).figures()
    spread = "–"
    if len(seeds) > 1:
        spread = f"{100 * statistics.stdev(counts.f1 for counts in seeds):.1f}"
    percents = [f"{100 * figures[key]:.1f}" for key in ("precision", "recall", "f1")]
    rest = [f"{100 * figures['coverage']:.1f}", f"{figures['silence_auc']:.3f}"]
    rest += [f"{figures['boundary_ms']:.0f}"]
    rest += [f"{100 * figures[key]:.1f}" for key in ("missed", "monotonicity")]
    return [name, system, method, *percents, spread, *rest]


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {key: value if value == value else None for key, value in figures.items()}


def _page(table: str, made_by: Any, args: argparse.Namespace) -> list[str]:
    against = f"Against {args.word_times.name}." if args.word_times else "Against the CTC row."
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
        *(f"- {key}: {value}" for key, value in made_by._asdict().items()),
    ]


if __name__ == "__main__":
    main()

r"""Let a masked language model choose among the n best sentences of a CTC model.

For the transfer method this is how much knowledge its teacher has to give: the teacher itself, used
in decoding. A sentence's score is the logarithm of its CTC probability, plus a weight times its
pseudo-likelihood, plus a bonus per piece. Weight and bonus are chosen on one half of the speakers
for the other half and the other way round, so no utterance is decoded by what was fitted to it.

--output is an experiment's folder to be compared like any:

    python -m espnet_otreg.stages.rescore --asr_exp exp/asr_ctc_seed1_... --output exp/rescored1 \
        --lm ../downloads/mini-mini-lm_... --sets dump/raw/org/graded0_test
"""

import argparse
import itertools
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_table, write_json, write_lines
from espnet_otreg.scoring.normalise import NORMALISERS
from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import Utterance, score
from espnet_otreg.stages.command import run

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
BONUSES = (0.0, 0.5, 1.0, 2.0, 3.0)


class Candidate(NamedTuple):
    """One of an utterance's n best sentences."""

    pieces: tuple[str, ...]
    text: str
    ctc: float
    lm: float


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--asr_exp", type=Path, required=True, help="experiment of a CTC model")
    parser.add_argument(
        "--model_file", default="train.total_count.ave.pth", help="in it (default: %(default)s)"
    )
    parser.add_argument("--lm", required=True, help="masked language model whose pieces it writes")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--nbest", type=int, default=8, help="sentences (default: %(default)s)")
    parser.add_argument("--beam", type=int, default=16, help="of the search (default: %(default)s)")
    parser.add_argument(
        "--normaliser", choices=sorted(NORMALISERS), default="basic", help="(default: %(default)s)"
    )
    parser.add_argument("--decode_tag", default="decode_rescored", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--ngpu", type=int, default=0, help="1: on the GPU (default: %(default)s)")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Decode, rescore and score every set."""
    args = get_parser().parse_args(cmd)
    run(lambda: _rescore(args))


def _rescore(args: argparse.Namespace) -> None:
    for needed in (args.asr_exp / "config.yaml", args.asr_exp / args.model_file):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist: train first, or check --model_file")
    if min(args.nbest, args.beam) < 1:
        raise UserError(f"--nbest {args.nbest} --beam {args.beam}: expected 1 or more of each")
    for data in args.sets:
        tables = {name: read_table(data / name) for name in ("wav.scp", "text", "utt2spk")}
        languages = data / "utt2lang"
        tables["utt2lang"] = read_table(languages) if languages.is_file() else {}
        found = candidates(args, tables["wav.scp"])
        _write(args, data.name, found, tables)
    shutil.copyfile(args.asr_exp / "config.yaml", args.output / "config.yaml")  # what it draws


def candidates(args: argparse.Namespace, audio: Mapping[str, str]) -> dict[str, list[Candidate]]:
    """Decode every recording to its n best sentences, with both scores."""
    import torch

    from espnet_otreg.decode.batches import padded_batches
    from espnet_otreg.decode.nbest import ctc_nbest
    from espnet_otreg.pretrained.pseudo_likelihood import PseudoLikelihood
    from espnet_otreg.tasks.asr import ASRTask

    device = "cuda" if args.ngpu else "cpu"
    files = (str(args.asr_exp / "config.yaml"), str(args.asr_exp / args.model_file))
    model, options = ASRTask.build_model_from_file(*files, device)
    model.eval()
    if model.ctc is None:
        raise UserError(f"{args.asr_exp} has no CTC branch: name a CTC model")
    teacher = PseudoLikelihood(args.lm, device)
    found = {}
    for batch, speech, lengths in padded_batches(audio, 1, device):
        with torch.inference_mode():
            frames, _ = model.encode(speech, lengths)
            frames = frames[0] if isinstance(frames, tuple) else frames  # inter-CTC
            log_probs = model.ctc.log_softmax(frames)[0].float().cpu().numpy()
        best = ctc_nbest(log_probs, args.nbest, beam=args.beam, blank=model.blank_id)
        rows = [tuple(options.token_list[token] for token in one.tokens) for one in best]
        scores = teacher(rows)
        found[batch[0]] = [
            Candidate(pieces, teacher.tokenizer.join(pieces), one.score, lm)
            for pieces, one, lm in zip(rows, best, scores, strict=True)
        ]
    return {utterance: found[utterance] for utterance in audio}


def _write(
    args: argparse.Namespace,
    name: str,
    found: Mapping[str, list[Candidate]],
    tables: Mapping[str, Mapping[str, str]],
) -> None:
    languages = tables["utt2lang"] or None

    def scored(texts: Mapping[str, str]) -> list[Utterance]:
        references = {utterance: tables["text"][utterance] for utterance in texts}
        speakers = {utterance: tables["utt2spk"][utterance] for utterance in texts}
        told = {"normaliser": args.normaliser, "speakers": speakers, "languages": languages}
        return score(references, texts, **told)

    errors: dict[str, list[int]] = {utterance: [] for utterance in found}
    for place in range(args.nbest):
        texts = {u: some[place].text for u, some in found.items() if place < len(some)}
        for utterance in scored(texts) if texts else []:
            errors[utterance.name].append(utterance.characters.errors)
    halves = halved(tables["utt2spk"], list(found))
    chosen = cross_fitted(found, errors, halves)
    folder = args.output / args.decode_tag / name
    texts = {u: found[u][place].text for u, place in chosen.places.items()}
    write_lines(
        folder / "text", [f"{utterance} {text}".rstrip() for utterance, text in texts.items()]
    )
    save_score(folder / "score.json", scored(texts), args.normaliser, {})
    total = sum(u.characters.reference for u in scored(texts))
    told = {
        what: sum(errors[u][place] for u, place in places.items()) / max(1, total)
        for what, places in (
            ("first", dict.fromkeys(found, 0)),
            ("rescored", chosen.places),
            ("oracle", {u: int(np.argmin(row)) for u, row in errors.items()}),
        )
    }
    write_json(folder / "rescored.json", {"cer": told, "weight_and_bonus": chosen.fitted})
    shown = ", ".join(f"{what} {100 * rate:.2f}" for what, rate in told.items())
    logging.info("%s: character errors in %% of the %d best: %s", name, args.nbest, shown)


class Chosen(NamedTuple):
    """Of each utterance the place of the candidate that was taken, and what chose it."""

    places: dict[str, int]
    fitted: list[tuple[float, float]]  # weight and bonus for the first and the second half


def halved(speaker_of: Mapping[str, str], utterances: Sequence[str]) -> list[list[str]]:
    """Split utterances so that no speaker is in both halves."""
    speakers = sorted({speaker_of[utterance] for utterance in utterances})
    first = set(speakers[::2])
    halves: list[list[str]] = [[], []]
    for utterance in utterances:
        halves[speaker_of[utterance] not in first].append(utterance)
    return halves


def cross_fitted(
    found: Mapping[str, list[Candidate]],
    errors: Mapping[str, list[int]],
    halves: Sequence[Sequence[str]],
) -> Chosen:
    """Choose by the weight and bonus with the fewest errors in the other half."""
    places: dict[str, int] = {}
    fitted: list[tuple[float, float]] = []
    for half, other in zip(halves, reversed(halves), strict=True):
        grid = list(itertools.product(WEIGHTS, BONUSES))  # the first is CTC alone, and wins ties
        counts = [sum(errors[u][best(found[u], *one)] for u in other) for one in grid]
        fitted.append(grid[int(np.argmin(counts))])
        places |= {utterance: best(found[utterance], *fitted[-1]) for utterance in half}
    return Chosen({utterance: places[utterance] for utterance in found}, fitted)


def best(some: Sequence[Candidate], weight: float, bonus: float) -> int:
    """Find the place of the candidate with the highest score; of equal ones the first."""
    scores = [one.ctc + weight * (one.lm + bonus * len(one.pieces)) for one in some]
    return int(np.argmax(scores))


if __name__ == "__main__":
    main()

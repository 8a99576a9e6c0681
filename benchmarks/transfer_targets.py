"""Which targets can transport find? A linear projection of frozen frames, against true word times.

    cd egs2/covost2_otreg  # after ./run.sh, whose encoder and miniature it reads
    python -m espnet_otreg.stages.make_mini_lm --output exp/lm
    python ../../benchmarks/transfer_targets.py --experiment exp/asr_init_* --lm exp/lm \
        --train dump/raw/covost2_train --tests dump/raw/org/covost2_test dump/raw/org/fleurs_test \
        --word_times ../downloads/mini-mini-base_*/word_times.jsonl

Or on a pretrained encoder's frames, as `./run_transfer.sh --speech_encoder` caches them:

    python -m espnet_otreg.stages.word_times --model WHISPER --data dump/raw/natural_dev \
        --output t.jsonl
    python ../../benchmarks/transfer_targets.py --frames dump/frames --lm E5 --word_times t.jsonl \
        --train dump/raw/natural_train --tests dump/raw/natural_dev --kinds unbalanced monotone

The projection learns what `model: ot_transfer` learns, L_align + L_OT; the encoder stays as it is,
so a run takes seconds. F1 is of frames and tokens, as in `espnet_otreg.stages.alignment`, entropy
that of `ot_entropy` in the log. Rows: the features of the plan (contextual; static, by a projection
of its own; static, shared: by the one of the loss), whitening's shrinkage, the kind of alignment
and the prior's weight β, which is transport's alone.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from espnet_otreg.decode.batches import padded_batches
from espnet_otreg.files import read_table
from espnet_otreg.measure.alignment_scores import measure, total
from espnet_otreg.measure.gap_of_models import spread
from espnet_otreg.measure.truth import make_truth, read_word_times
from espnet_otreg.ot import AlignmentConf, align, relative_entropy, whitening
from espnet_otreg.ot.align_options import TRANSPORTS
from espnet_otreg.ot.tensors import length_mask, zeroed
from espnet_otreg.pretrained.masked_lm import LanguageModel
from espnet_otreg.tasks.asr import ASRTask

PLANS = ("contextual", "static", "static, shared")


class Said(NamedTuple):
    """An utterance: what was heard, what was said, what is true."""

    frames: Tensor  # (T, D) of the frozen encoder
    pieces: list[str]
    ids: Tensor  # (U,) with [CLS] and [SEP]
    features: Tensor  # (U, d) last layer of the language model
    words: Any


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    heard = parser.add_mutually_exclusive_group(required=True)
    heard.add_argument("--experiment", type=Path, help="a trained recogniser")
    heard.add_argument("--frames", type=Path, help="cached frames: FRAMES/SET/feats.scp")
    parser.add_argument("--joined", type=int, default=3, help="frames of --frames, averaged to one")
    parser.add_argument("--model_file", default="valid.acc.ave.pth")
    parser.add_argument("--lm", required=True, help="masked language model")
    parser.add_argument("--train", type=Path, required=True, help="data directory")
    parser.add_argument("--tests", type=Path, nargs="+", required=True, help="data directories")
    parser.add_argument("--word_times", type=Path, required=True)
    parser.add_argument("--hop", type=float, default=0.06, help="seconds per frame")
    parser.add_argument("--utterances", type=int, nargs=2, default=(900, 150), help="train, test")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=PLANS)
    parser.add_argument("--kinds", nargs="+", default=["unbalanced"], help="alignment_conf.kind")
    parser.add_argument(
        "--centre",
        choices=("corpus", "utterance", "none"),
        default="corpus",
        help="of frames: less the corpus's mean and over its deviation, less their utterance's "
        "mean (as centre_frames does), or as they are [corpus]",
    )
    parser.add_argument("--shrinkages", nargs="+", default=["none", "0.01", "0.1"])
    parser.add_argument("--priors", type=float, nargs="+", default=[0.0, 0.05], help="β")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=6)
    return parser


def read(args: argparse.Namespace, model: Any, lm: LanguageModel, folder: Path, n: int) -> list:
    """Hear some utterances of a data directory."""
    audio, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    audio = {utt: audio[utt] for utt in spread(list(audio), n)}
    clips = {utt: soundfile.info(path) for utt, path in audio.items()}
    seconds = {utt: clip.frames / clip.samplerate for utt, clip in clips.items()}
    words = {} if folder == args.train else read_word_times(args.word_times, seconds)
    known, found = lm.tokenizer.vocabulary, []
    cached = args.frames and read_table(args.frames / folder.name / "feats.scp")
    batches = _joined(cached, list(audio), args.joined) if cached else _encoded(model, audio)
    for batch, heard in batches:
        pieces = [lm.tokenizer.split(texts[utt]) for utt in batch]
        for row, features in enumerate(lm.features(pieces)):
            ids = [lm.tokenizer.cls, *(known[piece] for piece in pieces[row]), lm.tokenizer.sep]
            found.append(Said(heard[row], pieces[row], torch.tensor(ids),
                              torch.from_numpy(features), words.get(batch[row])))  # fmt: skip
    return found


def _encoded(model: Any, audio: dict[str, str]) -> Iterator[tuple[list[str], list[Tensor]]]:
    for batch, speech, lengths in padded_batches(audio, 16, "cpu"):
        frames, sizes = model.encode(speech, lengths)
        frames = frames[0] if isinstance(frames, tuple) else frames
        yield batch, [row[: int(size)].clone() for row, size in zip(frames, sizes, strict=True)]


def _joined(
    cached: dict[str, str], utts: list[str], joined: int
) -> Iterator[tuple[list[str], list[Tensor]]]:
    for i in range(0, len(utts), 16):
        rows = [
            torch.from_numpy(np.load(cached[utt]).astype(np.float32)) for utt in utts[i : i + 16]
        ]
        whole = [row[: len(row) // joined * joined] for row in rows]
        yield utts[i : i + 16], [x.unflatten(0, (-1, joined)).mean(1) for x in whole]


def centred(sets: list[list[Said]], centre: str) -> list[list[Said]]:
    """Take from frames what many of them have in common; the first set is the corpus."""
    corpus = torch.cat([one.frames for one in sets[0]])
    mean, deviation = corpus.mean(0), corpus.std(0)
    take = {
        "corpus": lambda frames: (frames - mean) / deviation,
        "utterance": lambda frames: frames - frames.mean(0),
        "none": lambda frames: frames,
    }[centre]
    return [[one._replace(frames=take(one.frames)) for one in said] for said in sets]


class Learner(nn.Module):
    """The projection, and what it is taught by."""

    def __init__(
        self, train: list[Said], table: Tensor, plan: str, shrinkage: str, conf: AlignmentConf
    ):
        super().__init__()
        size, rows = train[0].frames.shape[1], [one.features for one in train]
        self.table, self.plan, self.white = table, plan, nn.Identity().forward
        if shrinkage != "none":
            used = torch.cat([one.ids[1:-1] for one in train]).unique()
            self.white = whitening(torch.cat([row[1:-1] for row in rows]), float(shrinkage))
            self.table = whitening(table[used], float(shrinkage))(table)
        self.project = nn.Linear(size, table.shape[1])
        self.own = nn.Linear(size, table.shape[1]) if plan == "static" else None
        self.conf = conf

    def forward(self, said: list[Said]) -> tuple[Tensor, Any, Tensor, Tensor]:
        """Return the loss, the alignment, and the lengths of both sides."""
        n = torch.tensor([len(one.frames) for one in said])
        m = torch.tensor([len(one.ids) for one in said])
        x = pad_sequence([one.frames for one in said], batch_first=True)
        features = self.white(pad_sequence([one.features for one in said], batch_first=True))
        static = self.table[pad_sequence([one.ids for one in said], batch_first=True)]
        heard = self.project(x)
        found = align(heard if self.own is None else self.own(x), n,
                      features if self.plan == "contextual" else static, m, self.conf)  # fmt: skip
        tokens = torch.bmm(found.coupling.transpose(1, 2), zeroed(heard, n))
        cosine = torch.cosine_similarity(tokens, zeroed(features, m), dim=2)
        inner = length_mask(m - 1, cosine.shape[1])
        inner[:, 0] = False
        return ((1 - cosine) * inner).sum(1).mean() + found.cost.mean(), found, n, m


def learn(learner: Learner, train: list[Said], epochs: int) -> None:
    """Train as long as a run of the recipe's first epochs."""
    optimiser = torch.optim.Adam(learner.parameters(), lr=2e-3)
    order = sorted(train, key=lambda one: len(one.frames))
    batches = [order[i : i + 16] for i in range(0, len(order), 16)]
    for _ in range(epochs):
        for place in torch.randperm(len(batches)).tolist():
            optimiser.zero_grad()
            learner(batches[place])[0].backward()
            optimiser.step()


@torch.no_grad()
def score(learner: Learner, said: list[Said], hop: float) -> tuple[float, float]:
    """Return F1 in % and the mean relative entropy of the plans."""
    counts, entropies = [], []
    for i in range(0, len(said), 30):
        part = said[i : i + 30]
        _, found, n, m = learner(part)
        entropies += relative_entropy(found, m).tolist()
        for row, one in enumerate(part):
            plan = found.coupling[row, : n[row], : m[row]].numpy()
            truth = make_truth(one.words, ["[CLS]", *one.pieces, "[SEP]"], int(n[row]), hop)
            counts.append(measure(plan, truth))
    return 100 * total(counts).f1, float(np.mean(entropies))


def main() -> None:
    """Train and score every combination; print a table, means over seeds and their spread."""
    args = get_parser().parse_args()
    torch.set_num_threads(1)
    model = None
    if args.experiment:
        config, weights = args.experiment / "config.yaml", args.experiment / args.model_file
        model = ASRTask.build_model_from_file(str(config), str(weights), "cpu")[0].eval()
    lm = LanguageModel(args.lm)
    with torch.no_grad():
        sets = [read(args, model, lm, args.train, args.utterances[0])]
        sets += [read(args, model, lm, folder, args.utterances[1]) for folder in args.tests]
    sets = centred(sets, args.centre)
    sets_shown = " | ".join(f"{t.name}: F1, entropy" for t in args.tests)
    print(f"| plan | shrinkage | kind | β | {sets_shown} |")
    print(f"|{'---|' * (4 + len(args.tests))}")
    rows = itertools.product(args.plans, args.shrinkages, args.kinds, args.priors)
    for plan, shrinkage, kind, beta in rows:
        if beta and kind not in TRANSPORTS:
            continue
        conf = AlignmentConf(kind, max_iters=100, temporal_weight=beta)
        found = []
        for seed in args.seeds:
            torch.manual_seed(seed)
            learner = Learner(sets[0], lm.table, plan, shrinkage, conf)
            learn(learner, sets[0], args.epochs)
            found.append([score(learner, said, args.hop) for said in sets[1:]])
        figures = np.array(found)  # (seeds, sets, 2)
        cells = [f"{f1.mean():.1f} ({f1.min():.1f}–{f1.max():.1f}), {entropy.mean():.2f}"
                 for f1, entropy in figures.transpose(1, 2, 0)]  # fmt: skip
        print(f"| {plan} | {shrinkage} | {kind} | {beta:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

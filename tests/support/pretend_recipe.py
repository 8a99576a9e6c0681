"""Stages 11 to 13 of a recipe that only pretends to train; run.sh of test_ablate.py calls it.

Folders, records, listing and files are like those of egs2/TEMPLATE/otreg.sh. The file `fails` in
the current folder makes the fourth training fail, `hangs` makes the second one never end.
"""

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

import yaml

from espnet_otreg.scoring.score_file import save_score
from espnet_otreg.scoring.wer import score
from espnet_otreg.stages import compare

# Wrong words of ten for even and odd speakers, by the weight in the config and by seed.
WRONG = {None: [[4, 5], [4, 5]], 0.3: [[3, 4], [2, 3]], 1.0: [[2, 7], [2, 7]]}
SPEAKERS = 12


def find_folder(config: str, seed: str, expdir: str) -> Path:
    """Name and make an experiment's folder as stage 11 does, by content."""
    told = f"{yaml.safe_load(Path(config).read_text())} {seed}"
    key = hashlib.sha256(told.encode()).hexdigest()[:8]
    folder = Path(expdir) / f"asr_{Path(config).stem}_seed{seed}_{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def done(folder: Path) -> Path:
    """Where it is written down that a model is trained."""
    return folder.parent / ".steps" / f"{folder.name}.json"


def train(folder: Path, config: str | None, seed: int) -> None:
    """Leave what training, decoding and scoring leave."""
    if Path("fails").exists() and len(list(Path("exp").glob(".steps/*.json"))) == 3:
        sys.exit("out of memory")
    (folder / "train.log").touch()
    while Path("hangs").exists() and list(Path("exp").glob(".steps/*.json")):
        time.sleep(0.05)
    model_conf = yaml.safe_load(Path(config).read_text())["model_conf"] if config else {}
    weight = model_conf.get("ot_conf", {}).get("weight")
    with open("trained", "a") as log:
        log.write(f"{weight} {seed}\n")
    said, heard, who = {}, {}, {}
    for speaker in range(SPEAKERS):
        name = f"s{speaker}_u"
        words = [str(i) for i in range(10)]
        wrong = WRONG[weight][seed - 1][speaker % 2]
        said[name], who[name] = " ".join(words), f"s{speaker}"
        heard[name] = " ".join(["x"] * wrong + words[wrong:])
    scored = score(said, heard, normaliser="basic", speakers=who)
    save_score(folder / "decode_x/a_test/score.json", scored, "basic", {})
    seconds = 60 * seed + (0 if weight is None else 15)
    run = {"seed": seed, "wall_time_s": seconds, "device": "abacus"}
    (folder / "run.json").write_text(json.dumps(run))
    done(folder).parent.mkdir(exist_ok=True)
    done(folder).touch()


def main(names: str, results: str, plan: str, metric: str, stop_stage: str, *jobs: str) -> None:
    """List or train, and compare; `jobs` are configs and seeds by turns."""
    pairs = list(zip(jobs[::2], jobs[1::2], strict=True))
    if plan:
        with tempfile.TemporaryDirectory() as elsewhere, open(plan, "w") as listing:
            for config, seed in pairs:
                folder = Path("exp") / find_folder(config, seed, elsewhere).name
                listing.write(f"{config}\t{seed}\t{folder}\n")
        return
    systems: dict[str, list[str]] = {}
    for config, seed in pairs:
        folder = find_folder(config, seed, "exp")
        systems.setdefault(config, []).append(str(folder))
        if not done(folder).exists():
            train(folder, config, int(seed))
    if int(stop_stage) < 13:
        return
    start = Path("exp/init")
    if not start.exists():
        start.mkdir()
        train(start, None, 1)
    rows = [",".join(folders) for folders in systems.values()]
    compare.main(
        [
            *("--baseline", rows[0], "--systems", *rows[1:], str(start)),
            *("--names", *names.split(";"), "common checkpoint", "--in_domain", "a_test"),
            *("--decode_tag", "decode_x", "--samples", "300", "--metric", metric),
            *("--output", f"{results}/RESULTS.md", "--json", f"{results}/results.json"),
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

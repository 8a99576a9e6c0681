"""Run a sweep, one YAML of variants and seeds, and set the variants side by side in one table.

To be run inside a recipe's folder. The recipe trains, decodes and scores what is missing, so the
same command goes on after an interruption, and after the YAML got another variant or seed. The
table goes to exp/ablations/<name>/RESULTS.md, all figures to results.json beside it.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json, writing
from espnet_otreg.recipe.options import value_of
from espnet_otreg.recipe.sweep import Sweep, read_arguments, read_sweep, write_configs
from espnet_otreg.scoring.ablation import (
    Row,
    Sources,
    ablation_document,
    ablation_json,
    ablation_table,
)
from espnet_otreg.scoring.provenance import provenance
from espnet_otreg.scoring.results import Comparison, SetName, System, compare
from espnet_otreg.scoring.tables import NOTHING, Table, plain
from espnet_otreg.scoring.wer import AUTO, CHARACTERS
from espnet_otreg.stages.command import run

PROGRAM = "python -m espnet_otreg.stages.ablate"
STDERR = 2  # where the recipe's own output goes, so that stdout is the table alone

# a page and a pack of every variant would be made in vain
TABLES_ALONE = ("--report", "false", "--skip_packing", "true", "--skip_upload", "true")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument(
        "sweep",
        type=Path,
        help="YAML with recipe, arguments (further ones for the recipe), base (a training config), "
        "seeds, variants (name -> dotted keys that differ from the base, or config: another file) "
        "and grid (dotted key -> values: all combinations); the first variant, or else the base "
        "as it is, is what the others are compared with",
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="only print which trainings are done, begun and missing (default: run)",
    )
    parser.add_argument(
        "--arguments",
        default="",
        help="further arguments for the recipe that belong to this machine rather than to the "
        "sweep, as one string, such as '--train_nj 1' (default: none)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder to write to (default: exp/ablations/<name of the YAML>; of dev sets its dev)",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run what is missing, write the page and the JSON, and print the table."""
    given = sys.argv[1:] if cmd is None else list(cmd)
    args = get_parser().parse_args(given)
    run(lambda: _ablate(args, f"{PROGRAM} {shlex.join(given)}"))


def _ablate(args: argparse.Namespace, command: str) -> None:
    sweep = read_sweep(args.sweep)
    sweep = sweep._replace(arguments=(*sweep.arguments, *read_arguments(args.arguments)))
    if not (Path(sweep.recipe).is_file() and os.access(sweep.recipe, os.X_OK)):
        raise UserError(
            f"{args.sweep}: recipe {sweep.recipe} is not a script that can be run from here; run "
            "this inside a recipe's folder such as egs2/covost2_otreg"
        )
    for note in sweep.notes:
        print(note, file=sys.stderr)
    if args.dry_run:
        print(_plan(sweep))
        return
    output = args.output or tables_folder(Path("exp/ablations") / sweep.name, sweep.arguments)
    configs = write_configs(sweep, output / "conf")
    details = output / "recipe"
    (details / "results.json").unlink(missing_ok=True)  # an old one must not be taken for new
    recipe = [*_recipe(sweep, configs), "--results", str(details), *TABLES_ALONE]
    run_recipe(recipe)
    comparison = _compare(sweep, read_recipe_results(details / "results.json"))
    sources = Sources(
        sweep.name,
        sweep.question,
        sweep.seeds,
        tuple(
            Row(variant.name, str(variant.source), variant.changes, config)
            for variant, config in zip(sweep.variants, configs, strict=True)
        ),
        provenance(command),
        (shlex.join(recipe),),
        tuple(str(page) for page in sorted(details.glob("*.md"))),
    )
    with writing(output / "RESULTS.md") as stream:
        stream.write(ablation_document(comparison, sources))
    write_json(output / "results.json", ablation_json(comparison, sources))
    print(plain(ablation_table(comparison)))
    print(f"\nwritten to {output}/RESULTS.md and {output}/results.json")


def tables_folder(folder: Path, arguments: Sequence[str]) -> Path:
    """Return where tables go by default: those of dev sets not over those of test sets."""
    return folder / "dev" if value_of("test_split", arguments) == "dev" else folder


def read_recipe_results(path: Path) -> dict[str, Any]:
    """Read what the recipe's last stage wrote with `compare`."""
    if not path.is_file():
        raise UserError(
            f"the recipe ended well but wrote no {path}; its `arguments` may stop it before the "
            "last stage (--stop_stage), or it does not know --results"
        )
    return read_json(path)


def _recipe(sweep: Sweep, configs: Sequence[str]) -> list[str]:
    """The command that trains, decodes and scores everything that is missing."""
    command = [sweep.recipe, *sweep.arguments, "--asr_config", " ".join(configs)]
    command += ["--seeds", " ".join(map(str, sweep.seeds))]
    return [*command, "--names", ";".join(variant.name for variant in sweep.variants)]


def run_recipe(command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
    """Run the recipe to its end; being stopped stops it too and waits until it has ended."""
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        environment = {**os.environ, **(variables or {})}
        process = subprocess.Popen(command, stdout=STDERR, env=environment)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGTERM, old)
    if code in (130, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if code != 0:
        raise UserError(
            f"{command[0]} ended with code {code}, see its messages above; when that is mended, "
            "the same command goes on from there"
        )


def _compare(sweep: Sweep, results: dict[str, Any]) -> Comparison:
    """Compare the variants on the folders and test sets that the recipe tells."""
    try:
        folders, sets, metrics, facts = _told(results)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the recipe's results are not those of stages/compare ({error!r}); remove them and "
            "run again"
        ) from error
    for variant in sweep.variants:
        trained = len(folders.get(variant.name, ()))
        if not trained or trained % len(sweep.seeds):  # more with several --init_seeds
            raise UserError(
                f"the recipe's results have {trained} experiments of variant {variant.name!r}, "
                f"expected {len(sweep.seeds)}, one per seed; it seems not to obey --names or "
                "--seeds"
            )
    tag, samples, seed = facts
    return compare(
        [System(variant.name, folders[variant.name]) for variant in sweep.variants],
        sets,
        tag,
        metric=CHARACTERS if metrics == {"CER"} else AUTO,
        samples=samples,
        seed=seed,
    )


def _told(
    results: dict[str, Any],
) -> tuple[dict[str, tuple[Path, ...]], list[SetName], set[str], tuple[str, int, int]]:
    """Take from a recipe's results the folders, test sets, metrics, decoding, draws and seed."""
    folders = {
        system["name"]: tuple(Path(seed["folder"]) for seed in system["seeds"])
        for system in results["systems"]
    }
    sets = [SetName(tested["name"], tested["domain"]) for tested in results["test_sets"]]
    parts = [part for tested in results["test_sets"] for part in tested["parts"].values()]
    tag, draws = results["decode_tag"], results["bootstrap"]
    texts = [tag, *(text for each in sets for text in each)]
    if not sets or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"expected names of test sets and decoding, got {texts}")
    samples, seed = draws["samples"], draws["seed"]
    if type(samples) is not int or type(seed) is not int or samples < 1 or seed < 0:
        raise TypeError(f"expected whole numbers, got samples {samples!r}, seed {seed!r}")
    return folders, sets, {part["metric"] for part in parts}, (tag, samples, seed)


def _plan(sweep: Sweep) -> str:
    """Ask the recipe for every training's folder, and look what is there."""
    with tempfile.TemporaryDirectory() as made:
        configs = write_configs(sweep, Path(made))
        listing = Path(made) / "plan.tsv"
        run_recipe([*_recipe(sweep, configs), "--plan", str(listing)])
        lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    folders: dict[tuple[str, str], list[str]] = {}  # several with several --init_seeds
    for config, seed, folder in (line.split("\t") for line in lines):
        folders.setdefault((config, seed), []).append(folder)
    rows, states = [], []
    for variant, config in zip(sweep.variants, configs, strict=True):
        missing = [seed for seed in sweep.seeds if (config, str(seed)) not in folders]
        if missing:
            raise UserError(f"the recipe names no folder for {variant.name}, seed {missing[0]}")
        row = [list(map(_state, folders[config, str(seed)])) for seed in sweep.seeds]
        states += [state for cell in row for state in cell]
        cells = [", ".join(cell) for cell in row]
        rows.append([variant.name, str(variant.source), variant.changes or NOTHING, *cells])
    header = ["variant", "made from", "changed", *(f"seed {seed}" for seed in sweep.seeds)]
    counts = ", ".join(f"{states.count(s)} {s}" for s in ("done", "begun", "missing"))
    each = len(states) // len(rows)
    total = f"{len(rows)} variants x {each} runs = {len(states)} trainings: {counts}"
    return f"{plain(Table(header, rows, text_columns=len(header)))}\n\n{total}"


def _state(path: str) -> str:
    """A recipe writes down that a model is trained, and has `train.log` from the start on."""
    folder = Path(path)
    if (folder.parent / ".steps" / f"{folder.name}.json").exists():
        return "done"
    return "begun" if (folder / "train.log").exists() else "missing"


if __name__ == "__main__":
    main()

"""Join finished comparisons of one protocol into one: each of another pair of foundation models.

A recipe trains all systems with one speech encoder and one language model. Run again with others,
it leaves another results.json; joined, the encoders and language models are levels of chance like
checkpoints and seeds. What was not to be varied has to be the same everywhere: systems, test sets,
normaliser, configs and training data; what differs is an error that names it.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.scoring.comparison import SetName, System
from espnet_otreg.scoring.levels import ENCODER, LM, ORDER, Labels
from espnet_otreg.scoring.wer import AUTO, CHARACTERS
from espnet_otreg.yaml_files import read_yaml

# What foundation models, checkpoints, seeds and the machine decide, and what only says where
# things lie; all else of a config belongs to the protocol.
_FREE = re.compile(
    r"config|output_dir|seed|init_param|ngpu|dist_.*|multiprocessing_distributed|distributed|"
    r"local_rank|log_.*|num_workers|version|required|token_list|bpemodel|resume|use_amp|"
    r".*_shape_file|.*_data_path_and_name_and_type|normalize_conf|max_cache_.*|use_matplotlib|"
    r"use_tensorboard|num_att_plot|print_config|dry_run"
)
_FREE_OPTIONS = {"encoder_conf": {"experiment", "model"}, "decoder_conf": {"model"},
                 "frontend_conf": {"model"}, "postencoder_conf": {"text_size"}}  # fmt: skip
TRAINED_ON = "utterances of the train set"


class Joined(NamedTuple):
    """What there is to compare."""

    systems: tuple[System, ...]
    sets: tuple[SetName, ...]
    labels: tuple[tuple[Labels, ...], ...]
    metric: str
    caveats: tuple[str, ...]

    def only(self, names: Sequence[str]) -> "Joined":
        """Take the systems of these names, the first as the baseline."""
        known = [system.name for system in self.systems]
        told = f"the tables have {', '.join(map(repr, known))}"
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(f"--names: no system is called {', '.join(map(repr, unknown))}; {told}")
        if len(set(names)) < max(2, len(names)):
            raise UserError(f"--names: two or more different systems expected; {told}")
        places = [known.index(name) for name in names]
        return self._replace(
            systems=tuple(self.systems[place] for place in places),
            labels=tuple(self.labels[place] for place in places),
        )


class _Run(NamedTuple):
    """One results.json."""

    path: Path
    protocol: dict[str, Any]  # what has to be the same everywhere
    systems: list[dict[str, Any]]
    tag: str
    git: str


def join(paths: Sequence[Path]) -> Joined:
    """Read several results.json and check that their protocol is one."""
    if len(paths) < 2:
        raise UserError(f"--join needs several results.json, got {len(paths)}")
    runs = [_read(path / "results.json" if path.is_dir() else path) for path in paths]
    first = runs[0]
    for other in runs[1:]:
        for what, value in first.protocol.items():
            if other.protocol[what] != value:
                raise UserError(
                    f"{first.path} and {other.path} are of different protocols: {what} is "
                    f"{value} in the first and {other.protocol[what]} in the second; only "
                    "foundation models, checkpoints and seeds may differ"
                )
    systems, labels = [], []
    for place, told in enumerate(first.systems):
        folders, tags, rows = [], [], []
        for run in runs:
            shared = _foundations(run)
            for model in run.systems[place]["seeds"]:
                folders.append(Path(model["folder"]))
                tags.append(run.tag)
                rows.append({**shared, **model["labels"]})
        _check_distinct(told["name"], folders, rows)
        external = bool(told["external"])
        systems.append(System(told["name"], tuple(folders), external, tuple(tags)))
        labels.append(tuple(rows))
    unknown = _check_configs(systems)
    sets = tuple(SetName(*pair) for pair in first.protocol["the list of test sets"])
    characters = {metric for _, metric in first.protocol["the metric"]} == {"CER"}
    commits = list(dict.fromkeys(run.git for run in runs))
    said = f"The joined tables were made by different code: {', '.join(commits)}."
    caveats = [said] if len(commits) > 1 else []
    if unknown:
        caveats.append(
            "Whether all models had the same training utterances was not checked for "
            f"{', '.join(unknown)}: their lists, exp/stats/..., are not here."
        )
    metric = CHARACTERS if characters else AUTO
    return Joined(tuple(systems), sets, tuple(labels), metric, tuple(caveats))


def _read(path: Path) -> _Run:
    content = read_json(path)
    try:
        systems = content["systems"]
        if any("labels" not in model for system in systems for model in system["seeds"]):
            raise UserError(
                f"{path} was made before tables said what a model is a draw of: make it again by "
                "stage 13 of the recipe, or by espnet_otreg.stages.compare"
            )
        for model in (model for system in systems for model in system["seeds"]):
            words = [model["folder"], *model["labels"].values()]
            if not all(isinstance(word, str) for word in words):
                raise TypeError(f"a folder and labels in words expected, got {words}")
        protocol = {
            "the list of systems": [system["name"] for system in systems],
            "the list of test sets": [
                [tested["name"], tested["domain"]] for tested in content["test_sets"]
            ],
            "the normaliser": content["normaliser"],
            "the metric": [
                [name, part["metric"]]
                for tested in content["test_sets"]
                for name, part in tested["parts"].items()
            ],
            "the number of models": [len(system["seeds"]) for system in systems],
            "the way of decoding": re.sub(r"_[0-9a-f]{8}$", "", content["decode_tag"]),
        }
        return _Run(path, protocol, systems, content["decode_tag"], content["made"]["git"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no results.json of espnet_otreg.stages.compare ({error!r})"
        ) from error


def _foundations(run: _Run) -> dict[str, str]:
    """Give rows that do not say it, such as the encoder's own, the run's foundation models."""
    found: dict[str, str] = {}
    for level in (ENCODER, LM):
        values = {
            m["labels"][level] for s in run.systems for m in s["seeds"] if level in m["labels"]
        }
        if len(values) == 1:
            found[level] = values.pop()
    return found


def _check_distinct(name: str, folders: Sequence[Path], rows: Sequence[Labels]) -> None:
    seen: dict[tuple[str, ...], Path] = {}
    for folder, labels in zip(folders, rows, strict=True):
        key = tuple(labels.get(level, "") for level in ORDER)
        if key in seen:
            raise UserError(
                f"{seen[key]} and {folder} are one replicate of {name}: the joined tables should "
                "have been made with different foundation models, checkpoints or seeds"
            )
        seen[key] = folder


def _check_configs(systems: Sequence[System]) -> list[str]:
    """Refuse models of one system that were trained by different configs or on different data.

    Returns the systems of which it is not known what they were trained on.
    """
    unknown = []
    for system in systems:
        known = [folder for folder in system.folders if (folder / "config.yaml").is_file()]
        told = [protocol_of(folder) for folder in dict.fromkeys(known)]
        if any(TRAINED_ON not in found for found in told):
            unknown.append(system.name)
        for folder, other in zip(known[1:], told[1:], strict=False):
            differ = sorted(
                k for k in told[0].keys() | other.keys() if told[0].get(k) != other.get(k)
            )
            if differ:
                key = differ[0]
                raise UserError(
                    f"{known[0]} and {folder}, both of {system.name}, were trained by different "
                    f"protocols: {', '.join(differ)}; {key} is {told[0].get(key)} and "
                    f"{other.get(key)}"
                )
    return unknown


def protocol_of(folder: Path) -> Mapping[str, Any]:
    """Take of a config what is the same for all draws of a system, and of its data the ids."""
    found: dict[str, Any] = {}
    config = read_yaml(folder / "config.yaml")
    for key, value in config.items():
        if _FREE.fullmatch(key):
            continue
        if isinstance(value, dict):
            free = _FREE_OPTIONS.get(key, set())
            found |= {f"{key}.{name}": one for name, one in value.items() if name not in free}
        else:
            found[key] = value
    for use in ("train", "valid"):
        shapes = config.get(f"{use}_shape_file")
        path = shapes[0] if isinstance(shapes, list) and shapes else None
        if isinstance(path, str):
            found[f"{use} set"] = Path(path).parent.name
            if os.path.isfile(path):
                found[TRAINED_ON.replace("train", use)] = _digest(Path(path))
    return found


def _digest(table: Path) -> str:
    """Stand for the utterances that a training was given, in whatever order.

    Each language model has pieces of its own, and with them other utterances have more tokens than
    frames. So what was left out for that counts as given.
    """
    names: set[str] = set()
    for path in (table, table.with_name("rejected.tsv")):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            names |= {line.split()[0] for line in lines if line.strip()}
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:8]

"""`create_dataset`: stages 0 to 4 of our recipes, by the same commands, for a recipe of ESPnet3.

DATA/<set>/ and DATA/raw/org/<set>/ are a corpus' split as prepared and as formatted, and
DATA/raw/<set>/ what remains of one that trains after filtering; each has its rejected.tsv. They are
searched for clips and speakers of test sets (DATA/overlap.tsv). DATA/made.json says what all was
made of.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.components.data.dataset_builder import DatasetBuilder as Builder

from espnet_otreg.configuration import read_options
from espnet_otreg.corpora import CORPORA
from espnet_otreg.errors import UserError
from espnet_otreg.espnet3 import words
from espnet_otreg.files import read_json, write_json
from espnet_otreg.ot.options import check_options, option, required
from espnet_otreg.stages import (
    check_overlap,
    filter_data,
    format_audio,
    make_mini,
    make_mini_llm,
    prepare_data,
)

NOTE = "made.json"
OF_TEMPLATE = ("func", "dataset_dir")  # ESPnet3's defaults hold them for builders of another kind


@dataclass(frozen=True)
class MakingConf:
    """What `create_dataset` holds."""

    recipe_dir: str = required("the recipe's folder")
    data_dir: str = required("folder of the data directories")
    corpora: dict = option({}, "corpus -> folder that holds it; one with null is a mini corpus")
    languages: str = option("en es fr", "codes, separated by spaces")
    train: tuple[str, ...] = option((), "sets, as <corpus>_<split>, that are trained on")
    valid: tuple[str, ...] = option((), "sets that are validated on")
    test: tuple[str, ...] = option((), "sets that are tested on")
    mini: str = option("mini", "size of the mini corpora, as of stages/make_mini")
    downloads: str = option("downloads", "folder that they are made in")
    mini_language_model: str | None = option(None, "folder of a mini language model to be made")
    max_wav_duration: float = option(20.0, "seconds; longer training utterances are left out")
    overlap: str = option(
        "error", "what clips or speakers of test sets in training are", choices=("error", "allow")
    )
    nj: int = option(0, "processes; 0: one per core", low=0)

    def __post_init__(self) -> None:
        check_options(self)
        for name in self.sets:
            corpus, _, split = name.rpartition("_")
            if corpus not in self.corpora or corpus not in CORPORA or not split:
                raise ValueError(
                    f"train, valid and test: expected sets such as covost2_train, of the corpora "
                    f"that corpora names ({', '.join(self.corpora)}); received {name!r}"
                )
        if not self.train or not self.valid:
            raise ValueError("train and valid: expected a set each at least; received none")

    @property
    def sets(self) -> tuple[str, ...]:
        """Every set once."""
        return tuple(dict.fromkeys((*self.train, *self.valid, *self.test)))

    @property
    def mini_root(self) -> Path:
        """Folder of the mini corpora."""
        return Path(self.downloads) / f"mini-{self.mini}"

    @property
    def made_of(self) -> dict[str, Any]:
        """What the data directories depend on, besides their names."""
        corpora = {corpus: str(self.root(corpus)) for corpus in self.corpora}
        limit = self.max_wav_duration
        return {"corpora": corpora, "languages": self.languages, "max_wav_duration": limit}

    @property
    def jobs(self) -> int:
        """Processes."""
        return self.nj or len(os.sched_getaffinity(0))

    def root(self, corpus: str) -> Path:
        """Folder that holds a corpus."""
        return Path(self.corpora[corpus]) if self.corpora[corpus] else self.mini_root


def read_conf(options: Mapping[str, Any]) -> MakingConf:
    """Read what the YAML's `create_dataset` holds."""
    own = {name: value for name, value in options.items() if name not in OF_TEMPLATE}
    plain = {name: _plain(value) for name, value in own.items()}
    return read_options(MakingConf, plain, "create_dataset")


def _plain(value: Any) -> Any:
    """Turn a container of OmegaConf into Python's."""
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


class DatasetBuilder(Builder):
    """What ESPnet3's stage `create_dataset` calls; every step is one of our stages."""

    def is_source_prepared(self, **options: Any) -> bool:
        """Tell whether no mini corpus is left to be made, and refuse a folder that is not there."""
        conf = read_conf(options)
        for corpus, root in conf.corpora.items():
            if root and not Path(root).is_dir():
                raise UserError(
                    f"create_dataset.corpora.{corpus}: {root} is not a folder; unpack the corpus "
                    "there, or write null for a mini corpus"
                )
        return False  # what makes them tells by itself what is done

    def prepare_source(self, **options: Any) -> None:
        """Make the mini corpora, and the mini language model, that are asked for."""
        conf = read_conf(options)
        minis = [corpus for corpus, root in conf.corpora.items() if not root]
        if minis:
            given = {"size": conf.mini, "languages": conf.languages, "corpora": " ".join(minis)}
            make_mini.main(words({**given, "output": conf.mini_root, "jobs": conf.jobs}))
        if conf.mini_language_model and not Path(conf.mini_language_model).is_dir():
            size = "smoke" if conf.mini == "smoke" else "mini"
            given = {"size": size, "languages": conf.languages}
            make_mini_llm.main(words({**given, "output": conf.mini_language_model}))

    def is_built(self, **options: Any) -> bool:
        """Tell whether every data directory is complete."""
        conf = read_conf(options)
        raw = Path(conf.data_dir) / "raw"
        needed = [raw / "org" / name for name in conf.test]
        needed += [raw / name for name in (*conf.train, *conf.valid)]
        note = Path(conf.data_dir) / NOTE
        made_of = read_json(note) if note.is_file() else conf.made_of
        for name, value in conf.made_of.items():
            if made_of.get(name) != value:
                raise UserError(
                    f"{note.parent} was made with {name} {made_of.get(name)}, and create_dataset "
                    f"has {value}: name another data_dir, or remove that one"
                )
        return all((folder / "wav.scp").is_file() for folder in needed)

    def build(self, **options: Any) -> None:
        """Prepare and format every set, filter those that train, compare them with the tests."""
        conf = read_conf(options)
        data = Path(conf.data_dir)
        raw, org = data / "raw", data / "raw" / "org"
        write_json(data / NOTE, conf.made_of)
        for name in conf.sets:
            corpus, _, split = name.rpartition("_")
            chosen = {"corpus": corpus, "root": conf.root(corpus), "splits": split}
            folders = {"output": data, "work": data / "unpacked"}
            prepare_data.main(words({**chosen, "languages": conf.languages, **folders}))
            format_audio.main(words({"input": data / name, "output": org / name, "nj": conf.jobs}))
        trained = [*conf.train, *conf.valid]
        for name in trained:
            limits = {"max_wav_duration": conf.max_wav_duration}
            filter_data.main(words({"input": org / name, "output": raw / name, **limits}))
        if conf.test:
            both = {
                "train": [raw / name for name in trained],
                "test": [org / name for name in conf.test],
            }
            how = {"report": data / "overlap.tsv", "overlap": conf.overlap}
            check_overlap.main(words({**both, **how}))

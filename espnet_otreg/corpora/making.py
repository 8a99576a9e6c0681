"""What `create_dataset` of a recipe of ESPnet3 takes: which corpora become which data directories.

Read by `espnet_otreg.espnet3.making`, which needs ESPnet3; what the options are needs nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_otreg.corpora import CORPORA
from espnet_otreg.ot.options import check_options, option, required


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

"""`create_dataset`: stages 0 to 4 of our recipes, by the same commands, for a recipe of ESPnet3.

DATA/<set>/ and DATA/raw/org/<set>/ are a corpus' split as prepared and as formatted, and
DATA/raw/<set>/ what remains of one that trains after filtering; each has its rejected.tsv. They are
searched for clips and speakers of test sets (DATA/overlap.tsv). DATA/made.json says what all was
made of.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data.dataset_builder import DatasetBuilder as Builder

from espnet_otreg.configuration import read_options
from espnet_otreg.corpora.making import MakingConf
from espnet_otreg.errors import UserError
from espnet_otreg.espnet3 import words
from espnet_otreg.files import read_json, write_json
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

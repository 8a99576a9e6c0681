"""What a model was trained on, in the words of its card."""

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from espnet_otreg.errors import UserError
from espnet_otreg.languages import language_name


class Corpus(NamedTuple):
    """A corpus as cards name it."""

    title: str
    license: str
    hub: str | None  # data set on the Hugging Face hub


CORPORA = {
    "covost2": Corpus("CoVoST-2 (Common Voice 4)", "CC0", "facebook/covost2"),
    "commonvoice": Corpus("Common Voice", "CC0", None),
    "fleurs": Corpus("FLEURS", "CC BY 4.0", "google/fleurs"),
    "mls": Corpus("MLS", "CC BY 4.0", "facebook/multilingual_librispeech"),
    "librispeech": Corpus("LibriSpeech", "CC BY 4.0", "openslr/librispeech_asr"),
    "aishell": Corpus("AISHELL-1", "Apache 2.0", None),
    "prompts": Corpus("Asterisk core sounds", "CC BY-SA 3.0 (it, ru: CC BY 3.0)", None),
    "fillets": Corpus("Fish Fillets' acted dialogues", "GPL 2", None),
    "natural": Corpus("real sentences spoken by natural synthetic voices", "GPL 2", None),
}
ALWAYS_SYNTHETIC = ("graded", "broad")  # corpora that exist in miniature alone

SYNTHETIC = (
    "**The data is synthetic.** This model was trained and tested on miniature corpora: generated "
    "sentences spoken by a speech synthesiser, in the file layouts of the corpora named below and "
    "with none of their recordings. Its error rates say nothing about real speech."
)
UNTOLD = (
    "Whether real or synthetic miniature corpora were used was not recorded when this was packed."
)


class TrainingData(NamedTuple):
    """Which corpora, and whether they were real."""

    corpora: tuple[str, ...]  # that the model itself trained on
    before: tuple[str, ...]  # that the checkpoint it started from trained on
    languages: tuple[str, ...]
    mini: bool | None  # None: not known
    all_languages: bool = False  # of those corpora; `languages` is then empty


def training_data(
    config: dict[str, Any],
    corpora: list[str],
    before: list[str],
    languages: list[str],
    mini: bool | None,
) -> TrainingData:
    """Collect what is known; corpora that are not given are read from the configuration's paths."""
    corpora = corpora or _corpora_of(config)
    if any(name.startswith(ALWAYS_SYNTHETIC) for name in corpora):
        if mini is False:
            raise UserError(f"{' '.join(corpora)} exist as mini corpora alone: give --mini true")
        mini = True
    everything = "all" in languages
    listed = () if everything else tuple(languages)
    for code in listed:
        language_name(code)  # an unknown one is an error
    earlier = tuple(name for name in before if name not in corpora)
    return TrainingData(tuple(corpora), earlier, listed, mini, everything)


def describe(data: TrainingData) -> str:
    """The card's section."""
    told = {True: SYNTHETIC, False: "", None: UNTOLD}[data.mini]
    rows = [f"- {_title(name, data.mini)}" for name in data.corpora]
    rows += [
        f"- before that, the checkpoint it started from: {_title(n, data.mini)}"
        for n in data.before
    ]
    if data.languages:
        names = [f"{language_name(code)} ({code})" for code in data.languages]
        rows.append(f"- languages: {', '.join(names)}")
    rows += ["- languages: all that these corpora have"] if data.all_languages else []
    return "\n\n".join(filter(None, [told, "\n".join(rows) or "Not recorded."]))


def hub_datasets(data: TrainingData) -> list[str]:
    """Data sets of the hub for the card's head; a miniature was trained on none of them."""
    if data.mini is not False:
        return []
    known = [CORPORA[name].hub for name in (*data.corpora, *data.before) if name in CORPORA]
    return [name for name in known if name is not None]


def _title(name: str, mini: bool | None) -> str:
    known = CORPORA.get(name)
    if mini:
        return f"mini corpus `{name}`" + (f", in the layout of {known.title}" if known else "")
    return f"{known.title}, {known.license}" if known else name


def _corpora_of(config: dict[str, Any]) -> list[str]:
    """Read `covost2` from `dump/raw/covost2_train/wav.scp`."""
    for path, *_ in config.get("train_data_path_and_name_and_type") or []:
        folder = PurePosixPath(path).parent.name
        if folder.endswith("_train"):
            return folder.removesuffix("_train").split("_")
    return []

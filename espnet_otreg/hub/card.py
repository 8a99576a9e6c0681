"""README.md of a packed model: what the Hugging Face hub reads, and what people should know."""

from typing import Any, NamedTuple

import yaml

from espnet_otreg.files import nan_to_null
from espnet_otreg.hub.base_models import given_as, how_to_get
from espnet_otreg.hub.card_results import CardResults, model_index, results_section
from espnet_otreg.hub.contents import Contents
from espnet_otreg.hub.facts import Facts
from espnet_otreg.hub.training_data import TrainingData, describe, hub_datasets
from espnet_otreg.scoring.provenance import TrainingRun

WHAT = {
    "otreg": "An ESPnet speech recogniser whose encoder was drawn towards the embeddings of the "
    "transcripts by optimal transport while it trained (OTReg).",
    "ot_transfer": "An ESPnet speech recogniser that a masked language model taught through "
    "optimal transport while it trained; the language model has no part in decoding.",
    "slm": "A speech language model: a frozen speech encoder, a trained adapter and a frozen "
    "language model that writes the answer.",
    "espnet": "An ESPnet speech recogniser.",
}
CITATIONS = {
    "otreg": ("otreg", "2508.08131"),
    "slm": ("otreg", "2508.08131"),
    "ot_transfer": ("ottransfer", "2509.05609"),
}
ESPNET = """\
@inproceedings{watanabe2018espnet,
  author    = {Shinji Watanabe and Takaaki Hori and Shigeki Karita and Tomoki Hayashi and
               Jiro Nishitoba and Yuya Unno and Nelson Enrique Yalta Soplin and Jahn Heymann and
               Matthew Wiesner and Nanxin Chen and Adithya Renduchintala and Tsubasa Ochiai},
  title     = {{ESPnet}: End-to-End Speech Processing Toolkit},
  booktitle = {Proceedings of Interspeech},
  pages     = {2207--2211},
  year      = {2018},
  doi       = {10.21437/Interspeech.2018-1456}
}"""
STOCK = "from espnet2.bin.asr_inference import Speech2Text"
OURS = "from espnet_otreg.decode.speech2text import Speech2Text"


class Card(NamedTuple):
    """What a card tells besides what the pack holds."""

    data: TrainingData
    license: str
    run: TrainingRun
    checkpoint: str
    stock: bool  # stock ESPnet opens the pack
    results: CardResults | None
    page: str | None  # results as Markdown, where there is no results.json


def model_card(contents: Contents, card: Card) -> str:
    """Write the whole README.md."""
    facts = contents.facts
    sections = [
        f"---\n{_head(facts, card)}---",
        f"# {facts.name}",
        WHAT.get(contents.trained_as.get("model", "espnet"), WHAT["espnet"]),
        "## How to load it",
        _loading(contents, card),
        "## Results",
        _results(card),
        "## Training data",
        describe(card.data),
        "## Intended use and limits",
        _limits(facts, card.data),
        "## Training and decoding",
        _training(contents, card),
        "## Citation",
        _citation(contents.trained_as),
    ]
    return "\n\n".join(sections) + "\n"


def _head(facts: Facts, card: Card) -> str:
    datasets = hub_datasets(card.data)
    bases = [base.name for base in facts.bases if not base.local]
    head: dict[str, Any] = {
        "language": sorted({_first(code) for code in card.data.languages}),
        "license": card.license,
        "library_name": "espnet",
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["espnet", "audio", "automatic-speech-recognition", "optimal-transport"],
        "datasets": datasets,
        "base_model": bases,
    }
    head["tags"] += ["synthetic-data"] if card.data.mini else []
    if card.results is not None and card.data.mini is not None:  # else: of speech or synthetic?
        head["model-index"] = model_index(facts.name, card.results, card.data.mini)
    filled = {key: value for key, value in nan_to_null(head).items() if value}
    return yaml.safe_dump(filled, sort_keys=False, allow_unicode=True)


def _first(code: str) -> str:
    """The hub takes `zh` of `zh-CN`."""
    return code.replace("_", "-").split("-", 1)[0].lower()


def _loading(contents: Contents, card: Card) -> str:
    facts = contents.facts
    needed = [base for base in facts.bases if base.folder is None]
    given = "".join(
        f', {given_as(base)}="{given_as(base)}_folder"' for base in needed if base.local
    )
    if card.stock:  # which does not read the decoding options of the pack
        given = "".join(f", {name}={value!r}" for name, value in contents.decoding.items())
    asked = ', language="' + card.data.languages[0] + '"' if _prompted(facts, card) else ""
    call = (
        'import soundfile\n\nspeech, rate = soundfile.read("speech.wav")'
        f"  # {facts.sampling_rate} Hz, mono\ntext, *_ = model(speech)[0]"
        if card.stock
        else f'text, *_ = model("speech.wav"{asked})[0]'
    )
    code = (
        f"{STOCK if card.stock else OURS}\n\n"
        f'model = Speech2Text.from_pretrained("{facts.loaded_as}"{given})\n{call}\nprint(text)'
    )
    if card.stock:
        said = "Stock ESPnet opens it, with `pip install espnet espnet_model_zoo`:"
    else:
        said = "With espnet_otreg and its requirements installed:"
    lines = [said, f"```python\n{code}\n```"]
    for base in needed:
        kept = f"the folder it was trained with{how_to_get(base)}"
        source = kept if base.local else "fetched from the hub"
        lines.append(f"- {base.part}: `{base.name}`, {source}, SHA-256 `{base.sha256}`; checked.")
    return "\n\n".join(lines)


def _prompted(facts: Facts, card: Card) -> bool:
    return facts.method == "slm" and bool(card.data.languages)


def _results(card: Card) -> str:
    if card.results is not None:
        return results_section(card.results, bool(card.data.mini))
    return card.page.strip() if card.page else "None were recorded when this was packed."


def _limits(facts: Facts, data: TrainingData) -> str:
    rows = [
        "Meant for research on alignment of speech and text and on generalisation across data "
        "sets, in the languages above. It was not tested for any use in which a wrong word does "
        "harm.",
        "Expect more errors where voices, rate, noise or channel differ from the training data; "
        "the results show how many more for the test sets named there, and for no others.",
    ]
    if data.mini:
        rows.insert(0, "For demonstration and testing only: it never heard a human voice.")
    if facts.method == "slm":
        rows.append(
            "A language model writes the answer, so it can write fluent text that was not said. "
            "Base models keep their own licences and limits."
        )
    return "\n".join(f"- {row}" for row in rows)


def _training(contents: Contents, card: Card) -> str:
    run, config = card.run, contents.trained_as
    rows = [
        f"- checkpoint `{card.checkpoint}`, packed by espnet_otreg {contents.facts.espnet_otreg}",
        f"- normalisation of features: `{config.get('normalize') or 'the encoder decides'}`",
        f"- decoding: `{contents.facts.method}` {contents.decoding or ''}".rstrip(),
    ]
    known = {"seed": run.seed, "device": run.device, "started": run.started}
    rows += [f"- {name}: {value}" for name, value in known.items() if value is not None]
    for base in contents.facts.bases:
        where = "in the pack" if base.folder else "not in the pack"
        rows.append(f"- frozen {base.part}: `{base.name}`, {where}, SHA-256 `{base.sha256}`")
    told = ("encoder", "postencoder", "decoder", "model")
    parts = dict.fromkeys([*(b.part for b in contents.facts.bases if b.part not in told), *told])
    shown = {
        key: config[key]
        for part in parts
        for key in (part, f"{part}_conf")
        if config.get(key) not in (None, {})
    }
    for base in contents.facts.bases:  # its name here may be a folder of the training machine
        conf = f"{base.part}_conf"
        shown[conf] = {**shown[conf], base.option: base.name}
    dumped = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
    return "\n".join(rows) + f"\n\nOf `config.yaml`:\n\n```yaml\n{dumped}```"


def _citation(config: dict[str, Any]) -> str:
    entries = [ESPNET]
    if config.get("model") in CITATIONS:
        key, number = CITATIONS[config["model"]]
        entries.insert(
            0,
            f"@misc{{{key},\n  eprint        = {{{number}}},\n  archivePrefix = {{arXiv}},\n"
            f"  url           = {{https://arxiv.org/abs/{number}}}\n}}",
        )
    return "```bibtex\n" + "\n\n".join(entries) + "\n```"

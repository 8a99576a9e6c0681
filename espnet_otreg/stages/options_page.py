"""Write docs/OPTIONS.md from the options as they are declared: what is accepted is what is told."""

import argparse
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import yaml

from espnet_otreg.corpora.making import MakingConf
from espnet_otreg.files import write_lines
from espnet_otreg.models.adapters import ConvAdapterConf, StackAdapterConf, TransferAdapterConf
from espnet_otreg.models.augment import FrameAugmentConf
from espnet_otreg.models.options import TRANSPORT, OTConf, SLMConf, SLMModelConf, TransferConf
from espnet_otreg.models.prompt import PromptConf
from espnet_otreg.ot import AlignmentConf
from espnet_otreg.ot.options import declared
from espnet_otreg.pretrained.causal_lm import CausalLMConf
from espnet_otreg.pretrained.espnet_speech import ESPnetSpeechConf
from espnet_otreg.pretrained.hf_speech import HFSpeechConf
from espnet_otreg.recipe.declared import OPTIONS
from espnet_otreg.recipe.declared_data import Option
from espnet_otreg.stages.command import run


class Section(NamedTuple):
    """A mapping of the configuration, and the class that its keys are declared in."""

    place: str
    conf: type
    changed: Mapping[str, Any] | None = None  # defaults that differ; keys were told above


class Chapter(NamedTuple):
    """A model with the parts that belong to it."""

    title: str
    text: str
    example: str  # YAML
    sections: tuple[Section, ...]


INTRO = (
    "Of the three models, with their defaults. An unknown key, a wrong type or a value out of "
    "range is an error that names the key, before any data is read. Of `otreg` and `ot_transfer`, "
    "`model_conf` takes ESPnet's own keys too; of `slm` those that are told here. This page is "
    "made from the declarations in the code by `python -m espnet_otreg.stages.options_page`."
)

KINDS = {  # of a recipe's option, in words
    "stage": "a stage",
    "count": "1 or more",
    "count0": "0 or more",
    "number": "0 or more",
    "numbers": "numbers",
    "seeds": "whole numbers",
    "words": "words",
    "configs": "YAML files",
}

CHAPTERS = (
    Chapter(
        "`model: otreg`",
        "ESPnet's ASR model with the transport term. Beside ESPnet's own figures the training log "
        "has `loss_ot`, `ot_cost`, `ot_sparsity` and `ot_marginal_error`; `ot_entropy`, from 0 "
        "where each frame has chosen a token to 1 where none has; `ot_silence_mass` beside "
        "`ctc_blank`, the share of the frames that CTC calls blank; and `ot_gradient_share`, how "
        "hard the term pulls the frames, as a share of the main loss's pull.",
        """\
model: otreg
model_conf:
    ctc_weight: 0.3             # ESPnet's
    ot_conf:
        weight: 0.3
        sparsity_weight: 0.1
""",
        (Section("`model_conf.ot_conf`", OTConf),),
    ),
    Chapter(
        "`model: ot_transfer`",
        "A CTC or CTC/attention model taught by a masked language model. Any one of Hugging Face "
        "serves, by folder or hub name: its tokenizer gives the CTC vocabulary, its features are "
        "computed once, and features of another model or another text are refused.",
        """\
model: ot_transfer
model_conf:
    ctc_weight: 1.0             # ESPnet's; 1.0: CTC alone, below: CTC/attention
    transfer_conf:
        main_weight: 0.3
    alignment_conf:
        kind: unbalanced
frontend: hf_speech             # or ESPnet's: default, for one
frontend_conf: {model: openai/whisper-base}
postencoder: transfer_adapter
postencoder_conf:
    text_size: 768
""",
        (
            Section("`model_conf.transfer_conf`", TransferConf),
            Section("`model_conf.alignment_conf`", AlignmentConf),
            Section("`postencoder_conf` of `postencoder: transfer_adapter`", TransferAdapterConf),
            Section("`frontend_conf` of `frontend: hf_speech`", HFSpeechConf),
        ),
    ),
    Chapter(
        "`model: slm`",
        "A speech encoder, an adapter and a causal language model that writes the answer. "
        "Checkpoints hold what was trained; base models are known by name and hash, and another "
        "one is refused. The frozen encoder's frames can be computed once "
        "(`--cache_frames true`).",
        """\
model: slm
model_conf:
    slm_conf:
        compression: ot
    ot_conf:
        weight: 0.3
encoder: hf_speech              # espnet_speech
encoder_conf: {model: openai/whisper-large-v3, padding: longest}
postencoder: stack_adapter      # conv_adapter
postencoder_conf: {stack: 5, hidden_size: 2048}
decoder: causal_lm
decoder_conf: {model: Qwen/Qwen2.5-7B-Instruct, dtype: bfloat16}
""",
        (
            Section("`model_conf` of `model: slm`", SLMModelConf),
            Section("`model_conf.slm_conf`", SLMConf),
            Section("`model_conf.slm_conf.augment`", FrameAugmentConf),
            Section("`model_conf.ot_conf` of `model: slm`", OTConf, TRANSPORT),
            Section("`model_conf.prompt_conf`", PromptConf),
            Section("`encoder_conf` of `encoder: hf_speech`", HFSpeechConf),
            Section("`encoder_conf` of `encoder: espnet_speech`", ESPnetSpeechConf),
            Section("`postencoder_conf` of `postencoder: stack_adapter`", StackAdapterConf),
            Section("`postencoder_conf` of `postencoder: conv_adapter`", ConvAdapterConf),
            Section("`decoder_conf` of `decoder: causal_lm`", CausalLMConf),
        ),
    ),
    Chapter(
        "Data in a recipe of ESPnet3",
        "The stage `create_dataset` of `egs3/covost2_otreg/asr` makes data directories by these. "
        "What else a recipe of ESPnet3 holds is its own, or above under `model:`, or an option of "
        "`stages/compare` and `stages/report`.",
        """\
create_dataset:
  recipe_dir: .
  data_dir: ./data
  corpora: {covost2: /corpora/covost2, fleurs: null}
  languages: en es fr
  train: [covost2_train]
  valid: [covost2_dev]
  test: [covost2_test, fleurs_test]
""",
        (Section("`create_dataset`", MakingConf),),
    ),
)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/OPTIONS.md"), help="the page")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the page."""
    args = get_parser().parse_args(cmd)
    run(lambda: write_lines(args.output, options_page().splitlines()))


def options_page() -> str:
    """Return the page: the models' options and those of the recipes."""
    blocks = ["# Options", fill(INTRO, 100)]
    for chapter in CHAPTERS:
        blocks += [f"## {chapter.title}", fill(chapter.text, 100)]
        blocks.append(f"```yaml\n{chapter.example}```")
        for section in chapter.sections:
            blocks += [f"### {section.place}", *_section(section)]
    blocks += _recipe(list(OPTIONS.values()))
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> list[str]:
    told = (section.conf.__doc__ or "").strip().partition("\n")[0]
    if section.changed is not None:
        others = ", ".join(f"`{key}: {_yaml(value)}`" for key, value in section.changed.items())
        return [f"The keys told above, by default with {others}."]
    rows = [
        (f"`{each.name}`", _default(each.default), _allowed(each.rule.allowed(each.kind)),
         each.rule.help)
        for each in declared(section.conf)
    ]  # fmt: skip
    return [told, _table(("key", "default", "allowed", "what it is"), rows)]


def _recipe(options: Sequence[Option]) -> list[str]:
    """Tell the options of the recipes, by group in the order of their declaration."""
    blocks = ["## Recipes", "Of `run*.sh` and `otreg.sh`, as `--name value`."]
    for group, members in groupby(options, key=lambda option: option.group):
        rows = [
            (
                f"`--{each.name}`",
                f"`{each.default}`" if each.default else "none",
                _kind(each),
                each.help,
            )
            for each in members
        ]
        blocks += [f"### {group}", _table(("option", "default", "allowed", "what it is"), rows)]
    return blocks


def _kind(option: Option) -> str:
    kind = KINDS.get(option.kind, "")
    choices = ", ".join(option.choices)
    if kind:
        return f"{kind}, or {choices}" if choices else kind
    return f"one of {choices}" if choices else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _default(value: Any) -> str:
    return "must be given" if value is dataclasses.MISSING else f"`{_yaml(value)}`"


def _allowed(words: str) -> str:
    return words.replace(", or inf", ", or .inf")


def _yaml(value: Any) -> str:
    """Write a value as YAML reads it back, on one line."""
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    main()

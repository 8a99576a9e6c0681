"""Options: YAML of every kind is read, or refused in words; nothing in it runs."""

import dataclasses
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import strategies as st

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json, write_json
from espnet_otreg.models.augment import FrameAugmentConf
from espnet_otreg.models.options import OTConf, SLMConf, TransferConf
from espnet_otreg.models.prompt import PromptConf
from espnet_otreg.ot.align_options import AlignmentConf
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.recipe.sweep import read_sweep, write_configs

from .inputs import TEXTS, VALUES, as_yaml, bombs, yaml_files

CONF = {
    "model": "otreg",
    "model_conf": {"ctc_weight": 0.3, "ot_conf": {"weight": 0.3, "epsilon": 0.1}},
    "optim_conf": {"lr": 0.001, "betas": [0.9, 0.98]},
    "specaug": None,
}
SWEEP = {
    "recipe": "./run.sh",
    "base": "ours.yaml",
    "seeds": [1, 2],
    "arguments": "--ngpu 0 'a b'",
    "variants": {"stock": {"config": "stock.yaml"}, "λ=1": {"model_conf.ot_conf.weight": 1.0}},
    "grid": {"model_conf.ot_conf.epsilon": [0.2, 0.4]},
}
TEXT = b"""# Does it help?
recipe: ./run.sh
base: &base ours.yaml
seeds: [1, 2]
variants:
  stock: {config: stock.yaml}
  same: &same {config: *base, model_conf.ot_conf.weight: 2.0}
  more: {<<: *same, model_conf.ot_conf.epsilon: .inf}
"""
NEAR = st.sampled_from([0, 1, 2, 0.5, 1.0, "none", "ctc", "cosine", True, [], [1], ["a"], {}])
CONFS = (OTConf, TransferConf, SLMConf, FrameAugmentConf, PromptConf, AlignmentConf)


@pytest.fixture(autouse=True)
def recipe(here):
    Path("ours.yaml").write_text(yaml.safe_dump(CONF))
    Path("stock.yaml").write_text("model: espnet\nmodel_conf: {}\n")


@pytest.mark.parametrize("conf", CONFS)
def test_options_of_a_section(fuzz, conf):
    """What is accepted is of the declared types, within range, and never nan."""
    fields = {field.name: field.default for field in dataclasses.fields(conf)}
    good = st.fixed_dictionaries({}, optional={k: st.just(v) for k, v in fields.items()})
    near = st.fixed_dictionaries({}, optional=dict.fromkeys(fields, NEAR))
    odd = st.dictionaries(st.sampled_from([*fields, "wieght"]) | TEXTS, VALUES, max_size=2)
    trees = st.one_of(
        st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, good, odd),
        near.map(lambda given: dict(list(given.items())[:3])),
        VALUES,
    )

    def check(given):
        for key, value in dataclasses.asdict(read_options(conf, given, "conf")).items():
            assert not (isinstance(value, float) and math.isnan(value))
            default = next(f.default for f in dataclasses.fields(conf) if f.name == key)
            if key in given and default not in (None, dataclasses.MISSING):
                assert type(value) is type(default)

    fuzz(trees, check)


def test_sweeps(fuzz):
    """A sweep that is read can be written as configs whose content is the variants'."""

    def check(content):
        Path("what.yaml").write_bytes(content)
        sweep = read_sweep(Path("what.yaml"))
        for variant, path in zip(sweep.variants, write_configs(sweep, Path("conf")), strict=True):
            assert str(yaml.safe_load(Path(path).read_text("utf-8"))) == str(variant.config)
        assert not Path("taken").exists()

    fuzz(yaml_files(SWEEP, text=[TEXT]), check, examples=400)


def test_base_configs_of_sweeps(fuzz):
    Path("what.yaml").write_bytes(TEXT)

    def check(content):
        Path("ours.yaml").write_bytes(content)
        write_configs(read_sweep(Path("what.yaml")), Path("conf"))

    fuzz(yaml_files(CONF), check)


def test_configs_of_experiments(fuzz):
    """The stamp is the same the second time, and what is written down of it can be read."""

    def check(content):
        Path("ours.yaml").write_bytes(content)
        first, again = (Stamps(Path("stamps.json")).content("ours.yaml") for _ in range(2))
        assert first == again
        write_json(Path("record.json"), first.values)
        assert read_json(Path("record.json")) == first.values
        assert not Path("taken").exists()

    fuzz(yaml_files(CONF), check, examples=400)


def stamp(path):
    return Stamps(Path("stamps.json")).content(str(path))


@pytest.mark.parametrize("read", [read_sweep, stamp])
def test_yaml_that_stands_for_billions_of_values_is_refused(read):
    Path("bomb.yaml").write_bytes(as_yaml({**SWEEP, "base": "bomb.yaml"}) + bombs())
    with pytest.raises(UserError, match="stand for"):
        read(Path("bomb.yaml"))

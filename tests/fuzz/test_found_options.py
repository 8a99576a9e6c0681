"""What fuzzing found in options: each input once ended in a traceback or a hang."""

from pathlib import Path

import pytest

from espnet_otreg.configuration import read_options
from espnet_otreg.errors import UserError
from espnet_otreg.models.options import OTConf
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.recipe.sweep import read_sweep, write_configs
from espnet_otreg.yaml_files import read_yaml

from .test_found import DEEP, written


def experiment(config):
    """Stamp an experiment's config, as the folder's name does."""
    return Stamps(Path("stamps.json")).content(str(written("c.yaml", config)))


def test_an_experiment_may_have_an_infinite_option():
    given = experiment("ot_conf: {relax_speech: .inf, x: [-.inf, .nan]}")
    assert given.values == {"ot_conf": {"relax_speech": ".inf", "x": ["-.inf", ".nan"]}}
    assert experiment("ot_conf: {relax_speech: 1.0, x: [-.inf, .nan]}").stamp != given.stamp


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"a: \xff", "not valid YAML"),
        (f"a: {DEEP}", "nested too deeply"),
        ("a: &a [*a]", "nested too deeply, or holds itself"),
        ("a: 2020-01-01", "a is a date"),
        ("a: 2020-13-45", "does not suit its type"),
        ("a: {b: !!set {c}}", r"a\.b is a set"),
        ("a: !!binary YQ==", "a is a bytes"),
        ("a: !!int x", "does not suit its type"),
        ("a: !!timestamp x", "does not suit its type"),
        ("a: !!map x", "expected a mapping after !!map"),
        ("1: 2", "the file has the key 1, not a text"),
        ("a: 1\na: 2", "'a' is there twice in the block of line 1"),
        (f"a: 0x{'f' * 999}", "a has more digits"),
        ("a: !!python/object/apply:os.system [touch taken]", "not valid YAML"),
    ],
)
def test_a_config_that_is_no_tree_of_options_is_refused_in_one_line(config, message):
    with pytest.raises(UserError, match=message) as told:
        experiment(config)
    assert "\n" not in str(told.value)
    assert not Path("taken").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('variants: {a: {x: 1}, b: {}}\narguments: "\'"', "no words of a shell"),
        ('variants: {a: {x: 1}, b: {}}\narguments: "\\0"', "unprintable"),
        ('variants: {"a\\0": {x: 1}, b: {}}', "cannot be called"),
        ("grid: {a: [1, 2], b: [2020-01-01]}", "is a date"),
        ("variants: {a: {y.z: 1}, b: {}}", "is in no section"),
        (
            f"grid: {{{', '.join(f'k{n}: {list(range(10))}' for n in range(9))}}}",
            "has 1,000,000,000 points",
        ),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused(text, message):
    written("base.yaml", "x: 0\n")
    path = written("s.yaml", f"recipe: r\nbase: base.yaml\nseeds: [1]\n{text}\n")
    with pytest.raises(UserError, match=message):
        read_sweep(path)


def test_many_values_without_aliases_are_no_bomb():
    tokens = ", ".join(f"t{n}" for n in range(20_000))
    assert len(experiment(f"token_list: [{tokens}]").values["token_list"]) == 20_000


def test_an_option_with_hundreds_of_digits_is_refused():
    with pytest.raises(UserError, match=r"ot_conf\.weight"):
        read_options(OTConf, {"weight": 10**400}, "ot_conf")


@pytest.mark.parametrize("letter", ["\x7f", "\u2028", "\x85"])
def test_a_key_of_a_sweep_may_hold_any_letter(letter):
    written("base.yaml", "x: {y: 0}\n")
    variants = f'variants: {{a: {{x.y: {{"\\u{ord(letter):04X}": 1}}}}, b: {{}}}}'
    path = written("s.yaml", f"recipe: r\nbase: base.yaml\nseeds: [1]\n{variants}\n")
    sweep = read_sweep(path)
    for variant, config in zip(sweep.variants, write_configs(sweep, Path("conf")), strict=True):
        assert read_yaml(Path(config)) == variant.config

"""Reading a sweep: what it expands to, and every mistake told before anything runs."""

import math
from pathlib import Path

import pytest
import yaml

from espnet_otreg.errors import UserError
from espnet_otreg.recipe.sweep import read_sweep, write_configs

RECIPE = Path(__file__).parents[2] / "egs2/covost2_otreg"
SHIPPED = sorted((RECIPE / "conf/ablations").glob("*.yaml"))
BASE = {
    "model": "otreg",
    "model_conf": {"ot_conf": {"weight": 0.3, "epsilon": 0.1}},
    "specaug": None,
}
WEIGHT, EPSILON = "model_conf.ot_conf.weight", "model_conf.ot_conf.epsilon"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Write a sweep as YAML text or as keys to change, and read it."""
    monkeypatch.chdir(tmp_path)
    Path("conf").mkdir()
    Path("conf/ours.yaml").write_text(yaml.safe_dump(BASE))
    Path("conf/stock.yaml").write_text("model: espnet\nmodel_conf: {}\n")

    def read(text="", **changes):
        content = {"recipe": "./run.sh", "base": "conf/ours.yaml", "seeds": [1, 2]}
        content = {k: v for k, v in {**content, **changes}.items() if v is not None}
        Path("what.yaml").write_text(yaml.safe_dump(content, sort_keys=False) + text)
        return read_sweep(Path("what.yaml"))

    return read


def test_variants_are_the_base_with_overrides_in_the_order_of_the_file(sweep):
    read = sweep(variants={"stock": {"config": "conf/stock.yaml"}, "λ=1": {WEIGHT: 1.0}})
    assert [variant.name for variant in read.variants] == ["stock", "λ=1"]
    stock, ours = read.variants
    assert stock.config == {"model": "espnet", "model_conf": {}}
    assert ours.config["model_conf"]["ot_conf"] == {"weight": 1.0, "epsilon": 0.1}
    assert ours.changes == f"{WEIGHT}: 1.0"
    assert (read.name, read.seeds, read.arguments) == ("what", (1, 2), ())


def test_a_grid_is_all_combinations_named_by_their_values(sweep):
    read = sweep(grid={WEIGHT: [0.1, 1], EPSILON: [0.2, math.inf]})
    assert [variant.name for variant in read.variants] == [
        *("ours", "weight=0.1, epsilon=0.2", "weight=0.1, epsilon=inf"),
        *("weight=1, epsilon=0.2", "weight=1, epsilon=inf"),
    ]
    assert read.variants[2].config["model_conf"]["ot_conf"] == {"weight": 0.1, "epsilon": math.inf}


def test_grid_keys_that_end_alike_are_named_in_full(sweep):
    read = sweep(grid={WEIGHT: [1], "model_conf.weight": [2]})
    assert read.variants[1].name == f"{WEIGHT}=1, model_conf.weight=2"


def test_a_grid_point_that_is_a_variant_already_is_one_row_and_is_told(sweep):
    read = sweep(variants={"ours": {}}, grid={WEIGHT: [0.1, 0.3]})
    assert [variant.name for variant in read.variants] == ["ours", "weight=0.1"]
    assert read.notes == ("grid point weight=0.3 is ours: one row, trained once",)


def test_the_comment_at_the_top_is_the_question(sweep, tmp_path):
    sweep(variants={"a": {}, "b": {WEIGHT: 1}})
    path = tmp_path / "what.yaml"
    path.write_text("# Does it help?\n#   Run it.\n" + path.read_text() + "# not this\n")
    assert read_sweep(path).question == "Does it help?\nRun it."


def test_configs_are_written_once_and_the_unchanged_one_is_the_source(sweep):
    variants = {"as it is": {}, "λ=1": {WEIGHT: 1.0}, "ε = ∞": {EPSILON: math.inf}}
    read = sweep(variants=variants)
    paths = write_configs(read, Path("exp/conf"))
    assert paths == ["conf/ours.yaml", "exp/conf/lambda=1.yaml", "exp/conf/epsilon_=_inf.yaml"]
    assert yaml.safe_load(Path(paths[1]).read_text()) == read.variants[1].config
    assert yaml.safe_load(Path(paths[2]).read_text()) == read.variants[2].config
    before = [Path(path).stat().st_mtime_ns for path in paths]
    write_configs(sweep(variants={**variants, "more": {WEIGHT: 2}}), Path("exp/conf"))
    assert [Path(path).stat().st_mtime_ns for path in paths] == before


def test_a_path_that_the_recipe_would_split_is_refused(sweep):
    read = sweep(variants={"a": {}, "b": {WEIGHT: 1}})
    with pytest.raises(UserError, match=r"my exp/b\.yaml has characters"):
        write_configs(read, Path("my exp"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [1]}, r"unknown key 'seed'; known keys: recipe, arguments"),
        ({"recipe": None}, "`recipe` is missing"),
        ({"seeds": None}, "`seeds` is missing"),
        ({"variants": None}, "`variants` is missing"),
        ({"recipe": 3}, "`recipe` must be text, got 3"),
        ({"arguments": ["--mini"]}, r"`arguments` must be text"),
        ({"arguments": "--mini true --asr-config x"}, "may not hold --asr-config"),
        ({"seeds": []}, r"`seeds` must be a list of different whole numbers, got \[\]"),
        ({"seeds": [1, 1]}, r"different whole numbers, got \[1, 1\]"),
        ({"seeds": [True]}, r"whole numbers, got \[True\]"),
        ({"seeds": 3}, "whole numbers, got 3"),
        ({"base": "conf/none.yaml"}, "base config conf/none.yaml does not exist .*recipe's folder"),
        ({"variants": {}}, "`variants` must map names"),
        ({"variants": ["a"]}, "`variants` must map names"),
        ({"variants": {"a": None}}, "variant 'a' must be a mapping"),
        ({"variants": {"a": {"config": "none.yaml"}}}, "variant 'a' none.yaml does not exist"),
        ({"variants": {"a": {}}}, "one variant has nothing to be compared with"),
        ({"variants": {"a": {}, "b": {WEIGHT: 0.3}}}, "'a' and 'b' are the same config"),
        ({"variants": {"a": {}, "b;c": {WEIGHT: 1}}}, "cannot be called 'b;c'"),
        ({"variants": {"common checkpoint": {}, "b": {WEIGHT: 1}}}, "cannot be called 'common"),
        ({"variants": {"a b": {WEIGHT: 2}, "a/b": {WEIGHT: 1}}}, "'a/b' and 'a b' would .*'a_b'"),
        ({"variants": {"a": {}, "中": {WEIGHT: 1}}}, "'中' and 'nothing' would"),
        ({"grid": []}, "`grid` must map dotted keys"),
        ({"grid": {WEIGHT: []}}, "must be a list of at least one value"),
        ({"grid": {WEIGHT: 0.1}}, "must be a list of at least one value, got 0.1"),
        ({"grid": {WEIGHT: [0.1, 0.1]}}, "holds a value twice"),
        (
            {"variants": {"a": {"model_conf.otconf.weight": 1}}},
            r"variant 'a': `model_conf.otconf.weight` is in no section of conf/ours.yaml: "
            "model_conf.otconf is not a mapping there; model_conf has ot_conf",
        ),
        ({"variants": {"a": {"optim_conf.lr": 1}}}, "optim_conf is not a mapping there; it has"),
        ({"variants": {"a": {"specaug.x": 1}}}, "specaug is not a mapping there"),
        ({"variants": {"a": {"model.x": 1}}}, "model is not a mapping there"),
        ({"variants": {"a": {"model_conf": {"ot_conf": {}}}}}, "would replace a whole section"),
        ({"variants": {"a": {WEIGHT: "1e-3"}}}, r"the text '1e-3', not a number .*1\.0e-3"),
    ],
)
def test_a_mistake_is_told_by_name(sweep, changes, message):
    with pytest.raises(UserError, match=rf"^what\.yaml: .*{message}"):
        sweep(**{"variants": {"a": {}, "b": {WEIGHT: 2.0}}, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants:\n  a: {}\n  b: {x: 1}\n  a: {x: 2}\n", "'a' is there twice"),
        ("variants:\n  a: {}\nseeds: [3]\n", "'seeds' is there twice"),
        ("variants: {", "what.yaml is not valid YAML"),
    ],
)
def test_doubled_names_and_broken_yaml_are_told(sweep, text, message):
    with pytest.raises(UserError, match=message):
        sweep(text)


def test_a_new_key_in_a_section_that_exists_is_fine(sweep):
    read = sweep(variants={"a": {}, "b": {"model_conf.ot_conf.start_epoch": 3, "seed": 1}})
    assert read.variants[1].config["model_conf"]["ot_conf"]["start_epoch"] == 3


def test_the_sweeps_that_were_asked_for_are_shipped():
    assert {path.stem for path in SHIPPED} == {
        *("otreg", "transfer_alignment", "transfer_cost", "transfer_epsilon"),
        *("transfer_eta", "transfer_lambda", "transfer_start", "slm_cost", "slm_otreg"),
        *("slm_augment", "slm_targets", "transfer_targets", "real_share", "otreg_targets"),
        *("slm_tuning", "slm_tuning_baseline", "slm_clean_plan", "transfer_tuning"),
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_change_options_that_exist_to_values_that_are_allowed(path, monkeypatch):
    from espnet_otreg.configuration import read_options
    from espnet_otreg.models.options import OTConf, SLMConf, TransferConf
    from espnet_otreg.ot.align_options import AlignmentConf

    monkeypatch.chdir(RECIPE)
    sweep = read_sweep(path)
    assert Path(sweep.recipe).is_file()
    assert f"python -m espnet_otreg.stages.ablate conf/ablations/{path.name}" in sweep.question
    sections = {"ot_conf": OTConf, "transfer_conf": TransferConf, "alignment_conf": AlignmentConf}
    sections["slm_conf"] = SLMConf
    for variant in sweep.variants:
        for key in variant.overrides:
            assert key.split(".")[1] in sections
        for section, options in sections.items():
            given = variant.config["model_conf"].get(section, {})
            assert read_options(options, given, section)

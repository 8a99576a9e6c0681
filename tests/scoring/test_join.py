"""Several finished tables, each of other foundation models, as one."""

import json
import os
from pathlib import Path

import pytest

from espnet_otreg.files import read_json
from espnet_otreg.stages import compare

TAG = "decode_x"
SYSTEMS = ("base", "ours")


def config_of(encoder, lm, start, seed, **more):
    told = {"seed": seed, "model": "slm", "max_epoch": 3, "init_param": start or "[]"}
    if start:
        told["init_param"] = f"[exp/{start}/valid.pth]"
    told |= {"encoder_conf": f"{{experiment: {encoder}}}", "decoder_conf": f"{{model: {lm}}}"}
    return "".join(f"{key}: {value}\n" for key, value in (told | more).items())


@pytest.fixture
def finished(tmp_path, monkeypatch, make_experiment):
    """Two encoders crossed with two language models, which move what the second system gains."""
    monkeypatch.chdir(tmp_path)
    made = []
    for encoder in (1, 2):
        for lm in (1, 2):
            name = f"e{encoder}_m{lm}"
            start = f"asr_stage1_{name}"
            for system in SYSTEMS:
                folder = Path(f"exp/asr_{system}_{name}")
                wrong = [6, 7] if system == "base" else [6 - 2 * encoder + lm, 6 - lm]
                make_experiment(folder, {"fleurs_test": wrong})
                (folder / "config.yaml").write_text(config_of(f"enc{encoder}", f"lm{lm}", start, 1))
            made.append(f"exp/{name}.json")
            compare.main(
                [
                    *("--baseline", f"exp/asr_base_{name}", "--systems", f"exp/asr_ours_{name}"),
                    *("--names", *SYSTEMS, "--decode_tag", TAG, "--cross_domain", "fleurs_test"),
                    *("--output", f"exp/{name}.md", "--json", made[-1], "--samples", "300"),
                ]
            )
    return made


def join(files, *more):
    given = ["--join", *files, "--output", "all.md", "--json", "all.json", "--samples", "300"]
    compare.main([*given, *more])
    return read_json(Path("all.json"))


def test_foundation_models_become_levels_that_the_interval_covers(finished, capsys):
    capsys.readouterr()
    found = join(finished)
    text = capsys.readouterr().out
    covers = "speech encoders (2), language models (2), common checkpoints (4), arm seeds (4)"
    assert f"Intervals of differences are over utterances (12), {covers}." in text
    result = found["test_sets"][0]["parts"]["total"]["results"]["ours"]
    assert result["held"] == [] and len(result["seed_rates"]) == 4
    assert result["covers"] == {
        **{"speakers": 12, "encoder": 2, "lm": 2},
        **{"checkpoint": 4, "seed": 4},
    }
    alone = [read_json(Path(name))["test_sets"][0]["parts"]["total"] for name in finished]
    points = [part["results"]["ours"]["difference"]["absolute"] for part in alone]
    whole = result["difference"]["absolute"]
    assert whole["value"] == pytest.approx(sum(p["value"] for p in points) / 4)
    assert whole["high"] - whole["low"] > max(p["high"] - p["low"] for p in points)
    levels = [component["level"] for component in result["components"]]
    assert levels[2:4] == ["speech encoders", "language models"]
    assert found["systems"][0]["seeds"][3]["labels"]["lm"] == "lm2"


def test_joined_sets_can_be_pooled(tmp_path, monkeypatch, make_experiment):
    monkeypatch.chdir(tmp_path)
    made = []
    for lm in (1, 2):
        for system, wrong in (("base", [5, 6]), ("ours", [5 - lm, 6])):
            folder = Path(f"exp/asr_{system}_m{lm}")
            make_experiment(folder, {"covost2_test": wrong, "fleurs_test": [4, 2]})
            (folder / "config.yaml").write_text(config_of("enc", f"lm{lm}", f"asr_init_m{lm}", 1))
        made.append(f"exp/m{lm}.json")
        compare.main(
            [
                *("--baseline", f"exp/asr_base_m{lm}", "--systems", f"exp/asr_ours_m{lm}"),
                *("--names", *SYSTEMS, "--decode_tag", TAG, "--samples", "300"),
                *("--in_domain", "covost2_test", "fleurs_test"),
                *("--output", f"exp/m{lm}.md", "--json", made[-1]),
            ]
        )
    found = join(made, "--pooled", "covost2_test+fleurs_test")
    *_, pooled = found["test_sets"]
    assert pooled["name"] == "covost2_test+fleurs_test"
    ours = pooled["parts"]["total"]["results"]["ours"]
    assert ours["difference"]["absolute"]["value"] == pytest.approx(-0.0375)
    assert ours["covers"]["lm"] == 2
    assert "covost2_test+fleurs_test" in Path("all.md").read_text()


def test_what_the_variance_comes_from_can_be_drawn(finished):
    pytest.importorskip("matplotlib")
    join(finished, "--picture", "variance.svg")
    assert b"language models" in Path("variance.svg").read_bytes()
    assert Path("variance.png").is_file()


def test_a_table_alone_says_that_its_foundation_models_are_held(finished):
    found = read_json(Path(finished[0]))["test_sets"][0]["parts"]["total"]["results"]["ours"]
    assert found["held"] == ["encoder", "lm", "checkpoint", "seed"]
    page = Path("exp/e1_m1.md").read_text(encoding="utf-8")
    assert "held at one: speech encoder, language model, common checkpoint, arm seed." in page


def edit(path, change):
    content = read_json(Path(path))
    change(content)
    Path(path).write_text(json.dumps(content))


def drop_labels(content):
    del content["systems"][0]["seeds"][0]["labels"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(normaliser="none"), "different protocols: the normaliser is basic in"),
        (lambda c: c["systems"][1].update(name="theirs"), "the list of systems is .*theirs"),
        (lambda c: c["test_sets"][0].update(domain="in-domain"), "the list of test sets is "),
        (lambda c: c["systems"][1]["seeds"].append(c["systems"][1]["seeds"][0]),
         "the number of models is .1, 1. in the first and .1, 2."),
        (lambda c: c.update(decode_tag="decode_y"), "the way of decoding is decode_x in"),
        (drop_labels, "made before tables said what a model is a draw of: make it again"),
        (lambda c: c.pop("made"), "is no results.json of espnet_otreg.stages.compare"),
        (
            lambda c: c["systems"][0]["seeds"][0].update(folder=None),
            "a folder and labels in words expected, got .None",
        ),
    ],
)  # fmt: skip
def test_tables_of_other_protocols_are_refused(finished, change, message):
    edit(finished[1], change)
    with pytest.raises(SystemExit, match=message):
        join(finished)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"max_epoch": 4}, "different protocols: max_epoch; max_epoch is 3 and 4"),
        ({"model_conf": "{ot_conf: {weight: 1}}"}, "model_conf.ot_conf is None and .'weight': 1"),
        ({"train_shape_file": "[exp/stats/k/other/speech_shape]"}, "train set is None and other"),
    ],
)
def test_models_of_other_configs_or_data_are_refused(finished, more, message):
    told = config_of("enc1", "lm2", "asr_stage1_e1_m2", 1, **more)
    Path("exp/asr_ours_e1_m2/config.yaml").write_text(told)
    with pytest.raises(SystemExit, match=message):
        join(finished)


def write_shapes(lm, kept, left_out):
    """Give all systems of a language model shape files of their own."""
    folder = Path(f"exp/stats/{lm}/train")
    folder.mkdir(parents=True)
    (folder / "speech_shape").write_text("".join(f"{utt} 9,2\n" for utt in kept))
    (folder / "rejected.tsv").write_text("".join(f"{utt}\t9 tokens\n" for utt in left_out))
    for path in Path("exp").glob(f"asr_*_{lm}/config.yaml"):
        path.write_text(path.read_text() + f"train_shape_file: [{folder}/speech_shape]\n")


def test_pieces_of_another_language_model_may_leave_out_other_utterances(finished):
    write_shapes("m1", ["a", "b"], ["c"])
    write_shapes("m2", ["c", "b"], ["a"])
    found = join(finished)
    assert len(found["systems"][0]["seeds"]) == 4
    assert not [said for said in found["caveats"] if "training utterances" in said]


def test_it_is_said_that_nobody_knows_what_a_model_was_trained_on(finished, capsys):
    found = join(finished)
    (said,) = [said for said in found["caveats"] if "training utterances" in said]
    assert "was not checked for base, ours:" in said
    assert said in capsys.readouterr().out


def test_models_that_were_given_other_utterances_are_refused(finished):
    write_shapes("m1", ["a", "b"], ["c"])
    write_shapes("m2", ["b"], ["a"])
    with pytest.raises(SystemExit, match="different protocols: utterances of the train set"):
        join(finished)


def test_one_table_given_twice_is_refused(finished):
    with pytest.raises(SystemExit, match="are one replicate of base"):
        join([finished[0], finished[0]])


def test_a_hole_in_the_crossing_is_no_error(finished):
    assert join(finished[:3])["test_sets"][0]["parts"]["total"]["results"]["ours"]["held"] == []


def test_folders_stand_for_the_results_in_them(finished):
    folders = [Path(name.removesuffix(".json")) for name in finished]
    for folder in folders:
        folder.mkdir()
        folder.with_suffix(".json").rename(folder / "results.json")
    found = join(map(str, folders))
    assert len(found["systems"][0]["seeds"]) == 4


def test_tables_of_other_machines_are_joined_from_their_small_files(finished, tmp_path):
    there = join(finished)
    elsewhere = tmp_path / "elsewhere"
    for path in [*map(Path, finished), *Path("exp").glob("*/config.yaml"),
                 *Path("exp").glob("*/run.json"), *Path("exp").glob("*/*/*/score*")]:  # fmt: skip
        copy = elsewhere / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    os.chdir(elsewhere)
    assert join(finished)["test_sets"] == there["test_sets"]


def test_joining_takes_no_systems_besides(finished):
    with pytest.raises(SystemExit):
        join([*finished, "--systems", "exp/asr_ours_e1_m1"])


def test_another_of_the_joined_systems_can_be_the_baseline(finished):
    ours = join(finished)["test_sets"][0]["parts"]["total"]["results"]["ours"]
    turned = join(finished, "--names", "ours", "base")
    assert [system["name"] for system in turned["systems"]] == ["ours", "base"]
    base = turned["test_sets"][0]["parts"]["total"]["results"]["base"]
    value, low, high = (base["difference"]["absolute"][key] for key in ("value", "low", "high"))
    told = ours["difference"]["absolute"]
    assert value == pytest.approx(-told["value"])
    assert (low, high) == pytest.approx((-told["high"], -told["low"]), abs=0.5)
    assert turned["systems"][0]["seeds"][3]["labels"]["lm"] == "lm2"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["base", "other"], "no system is called 'other'; the tables have 'base', 'ours'"),
        (["base"], "two or more different systems expected"),
        (["base", "base"], "two or more different systems expected"),
    ],
)
def test_names_that_the_joined_tables_do_not_have_are_refused(finished, names, message):
    with pytest.raises(SystemExit, match=message):
        join(finished, "--names", *names)


def test_tables_of_different_code_are_joined_and_say_so(finished):
    edit(finished[0], lambda content: content["made"].update(git="abc"))
    assert any("by different code: abc, " in said for said in join(finished)["caveats"])

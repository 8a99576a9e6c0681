"""Stages 14 and 15 as the shell runs them, its commands only told."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTING = """
set -euo pipefail
log() { echo "log: $*"; }
fail() { echo "error: $*" >&2; exit 1; }
in_range() { [ "${stage}" -le "$1" ] && [ "$1" -le "${stop_stage}" ]; }
python_step() { shift 2; echo "python3 -m $*"; }
python3() { echo "python3 $*"; }
stage=14 stop_stage=15 skip_packing=false skip_upload=false hf_repo= pack_systems= pack_seed=
pack_args= asr_config="conf/base.yaml conf/otreg.yaml conf/shuffled.yaml" seeds="1 2"
systems=(exp/base1,exp/base2 exp/otreg1,exp/otreg2 exp/shuffled1,exp/shuffled2)
shown=("Base" "OTReg" "OTReg, shuffled")
results=exp answer=text inference_asr_model=m.pth inference_method=beam
inference_args="--beam_size 3"
decode_config=(--config conf/decode.yaml) features_dir= language_model= mini=true
train_corpora=covost2 init_corpora="mls fleurs" langs="en es"
"""


def run(folder, options="", missing=()):
    for system in ("base", "otreg", "shuffled"):
        for seed in (1, 2):
            place = folder / "exp" / f"{system}{seed}"
            place.mkdir(parents=True, exist_ok=True)
            for name in {"m.pth", "packed.zip"} - set(missing):
                (place / name).touch()
    (folder / "exp" / "results.json").touch()
    script = f"{SETTING}\n{options}\n. {ROOT}/egs2/TEMPLATE/stages_hub.sh"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)


def packs(done):
    return [line.split(" --asr_exp ")[1].split()[0] for line in packing(done)]


def packing(done):
    return [line for line in done.stdout.splitlines() if "espnet_otreg.bin.pack" in line]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["exp/otreg1", "exp/shuffled1"]),
        ("pack_seed=2", ["exp/otreg2", "exp/shuffled2"]),
        ("pack_systems=conf/otreg.yaml", ["exp/otreg1"]),
        ("pack_systems=all", ["exp/base1", "exp/otreg1", "exp/shuffled1"]),
        ("asr_config=conf/base.yaml systems=(exp/base1,exp/base2)", ["exp/base1"]),
        ("skip_packing=true", []),
        ("stage=15", []),
        ("asr_config= systems=()", []),
    ],
)
def test_the_compared_systems_are_packed_the_first_seed_by_default(tmp_path, options, expected):
    done = run(tmp_path, options)
    assert done.returncode == 0, done.stderr
    assert packs(done) == expected


def test_packing_is_told_how_the_model_was_decoded_and_what_it_was_trained_on(tmp_path):
    (line,) = packing(run(tmp_path, "pack_systems=conf/otreg.yaml hf_repo=me/model"))
    for told in (
        "--model_file m.pth --output exp/otreg1/packed.zip --method beam",
        "--inference_config conf/decode.yaml --inference_args=--beam_size 3",
        "--results exp/results.json --name",
        "--train_corpora covost2 --init_corpora mls fleurs",
        "--name OTReg, trained on mini covost2 --train_corpora",
        "--languages en es --mini true --hf_repo me/model",
    ):
        assert told in line


def test_translations_bring_their_page(tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "TRANSLATION.md").touch()
    done = run(tmp_path, "answer=text.en inference_method=slm decode_config=()")
    assert all("--results_page exp/TRANSLATION.md" in line for line in packing(done))
    assert "--inference_config" not in done.stdout


def test_nothing_is_uploaded_without_a_repository_and_several_models_get_one_each(tmp_path):
    assert "--hf_repo user/name puts the packed models" in run(tmp_path).stdout
    assert "bin.upload" not in run(tmp_path, "hf_repo=me/x skip_upload=true").stdout
    sent = [line for line in run(tmp_path, "hf_repo=me/x").stdout.splitlines() if "upload" in line]
    assert [line.split("--repo ")[1] for line in sent] == ["me/x-otreg", "me/x-shuffled"]
    done = run(tmp_path, "hf_repo=me/x pack_systems=conf/otreg.yaml")
    assert "--pack exp/otreg1/packed.zip --repo me/x\n" in done.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("pack_systems=conf/no.yaml", "conf/no.yaml is none of --asr_config"),
        ("pack_seed=7", "--pack_seed 7 is none of --seeds (1 2)"),
    ],
)
def test_a_system_or_seed_that_was_not_trained_is_an_error(tmp_path, options, told):
    done = run(tmp_path, options)
    assert done.returncode == 1
    assert told in done.stderr


def test_an_upload_without_a_pack_names_the_stage(tmp_path):
    done = run(tmp_path, "stage=15 hf_repo=me/x", missing=["packed.zip"])
    assert done.returncode == 1
    assert "exp/otreg1/packed.zip does not exist: run stage 14 first" in done.stderr


@pytest.mark.parametrize("recipe", ["covost2_otreg", "fleurs_otreg"])
def test_every_recipe_knows_the_stages_and_their_options(recipe):
    folder = ROOT / "egs2" / recipe
    assert (folder / "stages_hub.sh").resolve() == ROOT / "egs2/TEMPLATE/stages_hub.sh"
    done = subprocess.run(["./run.sh", "--help"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for told in ("14 pack  15 upload", "--skip_packing ", "--skip_upload ", "--hf_repo "):
        assert told in done.stdout

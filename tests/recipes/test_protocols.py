"""Corpora in other roles than the recipes' own, up to what ESPnet's trainer reads."""

import json

import pytest

from espnet_otreg.files import read_table
from tests.support import recipe as recipe_tools

TRAIN = "librispeech mls"
TEST = "librispeech mls covost2 fleurs"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Stages 0 to 10 of the published protocol."""
    folder = recipe_tools.copy_recipe("covost2_otreg", tmp_path_factory.mktemp("protocol"))
    options = ["--langs", "en es", "--train_corpora", TRAIN, "--test_corpora", TEST]
    done = recipe_tools.run_recipe(folder, *options, "--stop_stage", "10")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def test_the_published_protocol_trains_on_two_corpora_and_tests_on_four(published):
    folder, done = published
    raw = folder / "dump/raw"
    together = read_table(raw / "librispeech_mls_train/utt2lang")
    parts = {(utt.split("-")[0], language) for utt, language in together.items()}
    assert parts == {("librispeech", "en"), ("mls", "en"), ("mls", "es")}
    assert "librispeech does not have es: passed over" in done.stderr
    for corpus in TEST.split():
        spoken = set(read_table(raw / f"org/{corpus}_test/utt2lang").values())
        assert spoken == ({"en"} if corpus == "librispeech" else {"en", "es"})
        with open(raw / f"org/{corpus}_test/manifest.jsonl", encoding="utf-8") as lines:
            ids = [json.loads(line)["id"] for line in lines]
        assert ids == sorted(read_table(raw / f"org/{corpus}_test/wav.scp"))
    shapes = folder / "exp/stats/librispeech_mls_train/speech_shape"
    assert read_table(shapes).keys() == together.keys()
    assert "shares no clip" in done.stderr or "sentence(s)" in done.stderr


@pytest.fixture
def leaking(published, tmp_path):
    """CoVoST-2 with a clip for testing that Common Voice, read beside it, has for training."""
    folder, _ = published
    (made,) = (folder.parent / "downloads").glob("mini-smoke-base_????????")
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    table = tmp_path / "covost_v2.en_es.tsv"
    text = table.read_text(encoding="utf-8")
    table.unlink()
    table.write_text(text.replace("\ttrain\n", "\ttest\n", 1), encoding="utf-8")
    roots = {"COVOST2": str(tmp_path), "COMMONVOICE": str(tmp_path)}
    options = ["--mini", "false", "--langs", "en", "--init_corpora", "commonvoice"]
    options += ["--train_corpora", "commonvoice", "--test_corpora", "covost2"]
    options += ["--dumpdir", str(tmp_path / "dump"), "--stop_stage", "4"]
    return folder, tmp_path / "dump/raw", options, roots


def test_a_clip_on_both_sides_stops_the_recipe_and_can_be_dropped(leaking):
    folder, raw, options, roots = leaking
    stopped = recipe_tools.run_recipe(folder, *options, **roots)
    assert stopped.returncode == 1
    assert "1 clip(s) of covost2_test are in commonvoice_train too" in stopped.stderr
    assert "--overlap drop" in stopped.stderr
    dropped = recipe_tools.run_recipe(folder, *options, "--overlap", "drop", **roots)
    assert dropped.returncode == 0, dropped.stderr[-3000:]
    before = read_table(raw / "commonvoice_train/wav.scp")
    (rest,) = raw.glob("overlap_????????/commonvoice_train")
    (lost,) = before.keys() - read_table(rest / "wav.scp").keys()
    assert lost in (rest / "rejected.tsv").read_text()

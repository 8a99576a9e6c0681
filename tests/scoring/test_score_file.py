import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.scoring.score_file import load_score, save_score
from espnet_otreg.scoring.wer import TOTAL, score, summarise


def make_score(path):
    scored = score(
        {"b": "x y", "a": "你好", "c": "…"},
        {"b": "x", "a": "", "c": "z"},
        normaliser="basic",
        languages={"a": "zh", "b": "en", "c": "en"},
    )
    save_score(path, scored, "basic", {"hypothesis": "text"})
    return scored


def test_a_score_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "score.json"
    scored = make_score(path)
    loaded = load_score(path)
    assert loaded.utterances == sorted(scored)
    assert loaded.summaries == summarise(scored)
    assert loaded.normaliser == "basic"
    content = read_json(path)
    assert content[TOTAL]["metric"] == "mixed"
    assert content["languages"]["en"]["words"]["error_rate"] == 1.0
    assert content["languages"]["zh"]["empty_hypothesis_share"] == 1.0
    assert sorted(p.name for p in path.parent.iterdir()) == ["score.json", "score.per_utt.tsv"]


def test_a_side_file_from_another_run_is_noticed(tmp_path):
    path = tmp_path / "score.json"
    make_score(path)
    side_file = tmp_path / "score.per_utt.tsv"
    side_file.write_text(side_file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="score again"):
        load_score(path)


def test_a_missing_score_is_told_with_the_command_to_run(tmp_path):
    with pytest.raises(UserError, match=r"espnet_otreg\.stages\.score .*--output"):
        load_score(tmp_path / "score.json")

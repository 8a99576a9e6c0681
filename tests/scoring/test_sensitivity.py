import json
from pathlib import Path

import pytest

from espnet_otreg.scoring.sensitivity import sensitivity, sensitivity_notes, sensitivity_table
from espnet_otreg.scoring.wer import TOTAL, score, summarise
from espnet_otreg.stages import score as command

REFERENCES = {"a": "It's five o'clock.", "b": "Colour and flavour!", "c": "Ça va bien."}
LANGUAGES = {"a": "en", "b": "en", "c": "fr"}
SYSTEMS = {
    "plain": {"a": "it's five o'clock", "b": "colour and favour", "c": "ca va bien"},
    "fine": {"a": "It is 5 o'clock.", "b": "Color and flavor!", "c": "Ça va bien."},
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = {"ref/text": REFERENCES, "ref/utt2lang": LANGUAGES, **SYSTEMS}
    for name, table in tables.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{k} {v}\n" for k, v in table.items()), encoding="utf-8")
    return ["--ref", "ref", "--hyp", "plain", "fine"]


def test_each_cell_is_what_scoring_alone_gives():
    names = ["none", "basic", "whisper_basic", "whisper_english"]
    found = sensitivity(REFERENCES, SYSTEMS, names, languages=LANGUAGES)
    for name in names:
        for system, hypotheses in SYSTEMS.items():
            alone = score(REFERENCES, hypotheses, normaliser=name, languages=LANGUAGES)
            assert found.summaries[name][system] == summarise(alone)
    assert found.rate("whisper_english", "fine", TOTAL) == 0
    assert found.rate("basic", "plain", "en") == pytest.approx(1 / 6)


def test_a_changed_order_of_the_systems_is_told():
    names = ["basic", "whisper_english"]
    found = sensitivity(REFERENCES, SYSTEMS, names, languages=LANGUAGES)
    assert found.order("basic", "en") == ["plain", "fine"]
    assert found.order("whisper_english", "en") == ["fine", "plain"]
    assert found.order_changes() == ["en", TOTAL]
    rows = sensitivity_table(found).rows
    assert [row[:2] for row in rows[:2]] == [["plain", "basic"], ["plain", "whisper_english"]]
    assert rows[0][2] == "16.67 (1)"
    notes = sensitivity_notes(found)
    assert "fr got whisper_basic" in notes[0]
    assert notes[1].endswith("depends on the normaliser in: en, total.")
    one = sensitivity(REFERENCES, SYSTEMS, ["basic"], languages=LANGUAGES)
    assert sensitivity_notes(one) == []


def test_equal_systems_share_a_rank_and_reverse_nothing():
    same = {"one": SYSTEMS["plain"], "other": SYSTEMS["plain"], "fine": SYSTEMS["fine"]}
    found = sensitivity(REFERENCES, same, ["none", "basic"], languages=LANGUAGES)
    assert [found.rank("basic", name, "en") for name in same] == [1, 1, 3]
    turned = dict(reversed(same.items()))
    assert (
        found.order_changes()
        == sensitivity(REFERENCES, turned, ["none", "basic"], languages=LANGUAGES).order_changes()
    )
    tied = {"a": {"x": "B c"}, "b": {"x": "b d"}}  # equal under one, a better under the other
    found = sensitivity({"x": "b c"}, tied, ["none", "basic"], languages={"x": "en"})
    assert found.rate("none", "a", "en") == found.rate("none", "b", "en") == 0.5
    assert sensitivity_notes(found) == ["No normaliser reverses the order of two systems."]


def test_command_prints_all_normalisers_and_writes_both_tables(files, capsys):
    pytest.importorskip("num2words")
    command.main([*files, "--normalisers", "all", "--output", "out/s.md", "out/s.json"])
    printed = capsys.readouterr().out
    for name in ("none", "basic", "whisper_basic", "whisper_english", "open_asr"):
        assert f"  {name} " in printed
    assert "| plain  | basic           |" in Path("out/s.md").read_text(encoding="utf-8")
    content = json.loads(Path("out/s.json").read_text())
    assert len(content["rates"]) == 5 * 2 * 3
    cell = {
        (r["normaliser"], r["system"], r["language"]): (r["applied"], r["error_rate"])
        for r in content["rates"]
    }
    assert cell["whisper_english", "fine", "fr"] == ("whisper_basic", 0)
    assert cell["none", "plain", "fr"] == ("none", pytest.approx(2 / 3))
    assert "en" in content["order_changes"]


def test_systems_have_names_of_their_own_and_gaps_are_counted(files):
    Path("plain").write_text("a It's five o'clock.\nx y\n")
    options = ["--normalisers", "none", "--missing", "empty", "--extra", "ignore"]
    command.main([*files[:2], "--hyp", "mine=plain", "fine", *options, "--output", "s.json"])
    content = json.loads(Path("s.json").read_text())
    assert content["systems"]["mine"] == {
        **{"file": "plain", "missing_hypotheses": 2, "ignored_hypotheses": 1}
    }
    assert content["order"]["none"]["fr"] == ["fine", "mine"]
    with pytest.raises(SystemExit, match="two hypotheses are called mine"):
        command.main([*files[:2], "--hyp", "mine=plain", "mine=fine", *options])


def test_missing_hypotheses_delete_every_word_in_a_plain_score_too(files):
    Path("plain").write_text("c Ça va bien.\n")
    arguments = [*files[:3], "plain", "--output", "s.json"]
    with pytest.raises(SystemExit, match=r"2 missing \(a, b\)"):
        command.main(arguments)
    command.main([*arguments, "--missing", "empty"])
    content = json.loads(Path("s.json").read_text())
    assert (content["missing_hypotheses"], content["total"]["words"]["deletions"]) == (2, 6)
    assert content["total"]["failures"]["empty"] == {"utterances": 2, "share": 2 / 3}


def test_whisper_english_must_know_what_is_english(files, caplog, capsys):
    Path("ref/utt2lang").unlink()
    with pytest.raises(SystemExit, match="must know which utterances are English"):
        command.main([*files[:3], "fine", "--normaliser", "whisper_english", "--output", "s.json"])
    command.main([*files, "--normalisers", "all"])
    assert "whisper_english is left out" in caplog.text
    assert "whisper_english" not in capsys.readouterr().out


def test_a_named_field_is_that_of_the_systems_that_have_fields(files, capsys):
    rows = [{"id": name, "greedy": text} for name, text in SYSTEMS["fine"].items()]
    Path("fine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = ["--ref", "ref", "--hyp", "plain=plain", "same=fine", "fine=fine.jsonl"]
    command.main([*given, "--text_field", "greedy", "--normalisers", "basic"])
    rates = [line.split()[2:] for line in capsys.readouterr().out.splitlines()[2:5]]
    assert rates[1] == rates[2] != rates[0]

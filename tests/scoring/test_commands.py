import json
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_otreg.files import read_json
from espnet_otreg.stages import compare, score

TAG = "decode_x"
REFERENCES = {"b_u": "Hello, world!", "a_u": "good morning to you", "c_u": "你好吗"}


def compare_arguments(experiments, *more):
    return [
        *("--baseline", experiments[0], "--systems", *experiments[1:]),
        *("--names", "stock", "OTReg", "--decode_tag", TAG, "--samples", "500"),
        *("--in_domain", "covost2_test", "--cross_domain", "fleurs_test"),
        *("--output", "exp/RESULTS.md", "--json", "exp/results.json", *more),
    ]


@pytest.fixture
def decoded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump").mkdir()
    tables = {
        "text": REFERENCES,
        "utt2spk": {name: name[0] for name in REFERENCES},
        "utt2lang": {"b_u": "en", "a_u": "en", "c_u": "zh"},
    }
    for file, table in tables.items():
        lines = [f"{name} {value}\n" for name, value in table.items()]
        (tmp_path / "dump" / file).write_text("".join(lines), encoding="utf-8")
    (tmp_path / "text").write_text("a_u good mourning you\nb_u\nc_u 你好吧\n", encoding="utf-8")
    return ["--ref", "dump", "--hyp", "text", "--output", "out/score.json"]


def test_score_writes_and_prints_the_corpus_rates(decoded, capsys):
    score.main(decoded)
    content = read_json(Path("out/score.json"))
    assert content["normaliser"] == "basic"
    assert content["languages"]["en"]["words"] == {
        **{"reference": 6, "hits": 2, "substitutions": 1, "deletions": 3, "insertions": 0},
        "error_rate": pytest.approx(4 / 6),
    }
    assert content["languages"]["zh"]["error_rate"] == pytest.approx(1 / 3)
    assert content["total"]["metric"] == "mixed"
    assert content["total"]["error_rate"] == pytest.approx(5 / 9)
    assert content["total"]["empty_hypothesis_share"] == pytest.approx(1 / 3)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[3][:6] == ["en", "WER", "2", "2", "6", "66.67"]


def test_score_takes_another_normaliser_and_another_language_table(decoded, capsys):
    Path("langs").write_text("a_u x\nb_u x\nc_u x\n")
    score.main([*decoded, "--normaliser", "none", "--languages", "langs"])
    content = read_json(Path("out/score.json"))
    assert (content["normaliser"], list(content["languages"])) == ("none", ["x"])
    assert "normaliser none" in capsys.readouterr().out


def test_score_without_speakers_and_languages_says_what_it_assumes(decoded, tmp_path, caplog):
    (tmp_path / "dump/utt2spk").unlink()
    (tmp_path / "dump/utt2lang").unlink()
    score.main(decoded)
    content = read_json(Path("out/score.json"))
    assert (content["total"]["speakers"], list(content["languages"])) == (3, ["und"])
    assert "a speaker of its own" in caplog.text
    assert "one language" in caplog.text


def test_score_ends_with_one_line_when_an_utterance_is_missing(decoded, tmp_path):
    (tmp_path / "text").write_text("a_u good\n")
    with pytest.raises(SystemExit, match=r"error: .* 2 missing \(b_u, c_u\)"):
        score.main(decoded)
    assert not (tmp_path / "out").exists()


def test_score_wants_a_json_name(decoded):
    with pytest.raises(SystemExit, match=r"should end in \.json, not out/score"):
        score.main([*decoded, "--output", "out/score"])


def test_compare_writes_page_and_json_and_prints_the_table(experiments, capsys):
    compare.main(compare_arguments(experiments, "--commands", "./run.sh", "--device", "cpu x2"))
    out = capsys.readouterr().out
    assert "in-domain total" in out.splitlines()[0]
    assert out.splitlines()[3].startswith("OTReg")
    content = read_json(Path("exp/results.json"))
    across = content["test_sets"][1]["parts"]["total"]["results"]["OTReg"]
    assert across["seed_rates"] == pytest.approx([0.35, 0.25])
    assert across["difference"]["absolute"]["high"] == pytest.approx(-0.15)
    assert content["systems"][0]["seeds"][0]["run"]["seed"] == 1
    assert content["systems"][1]["seeds"][1]["folder"] == "exp/ot_2"
    page = Path("exp/RESULTS.md").read_text(encoding="utf-8")
    assert "| stock  | exp/base   | not recorded | cpu          |" in page
    for fact in ("1:02:05", "./run.sh --seed 1", "- Device: cpu x2", "`basic`", "git ", "jiwer "):
        assert fact in page
    assert "espnet_otreg.stages.compare --baseline exp/base" in page


def test_systems_decoded_elsewhere_need_no_experiment(experiments, capsys):
    folders = [f"{name}={folder}/{TAG}" for name, folder in (("a", "exp/base"), ("b", "exp/ot_1"))]
    given = ["--cross_domain", "fleurs_test", "--output", "o.md", "--json", "o.json"]
    compare.main(["--external", *folders, *given, "--samples", "200"])
    assert "b against a:" in capsys.readouterr().out
    content = read_json(Path("o.json"))
    assert content["baseline"] == "a"
    assert content["caveats"] == [
        "In fleurs_test every utterance counts as a speaker of its own; if people speak several, "
        "its intervals are too narrow."
    ]
    assert content["caveats"][0] in Path("o.md").read_text(encoding="utf-8")
    for wrong in ([folders[0]], [*folders, "--systems", "exp/ot_1"]):
        with pytest.raises(SystemExit):
            compare.main(["--external", *wrong, *given])


def test_the_printed_rate_is_in_the_unit_that_its_language_is_scored_in(decoded, capsys, caplog):
    Path("text").write_text("a_u good morning to you\nb_u hello world\nc_u 你好 吗\n", "utf-8")
    score.main(decoded)
    head, _, *lines = capsys.readouterr().out.splitlines()[1:]
    rows = [dict(zip(head.split()[:12], line.split()[:12], strict=True)) for line in lines]
    chinese = next(row for row in rows if row["language"] == "zh")
    assert [chinese[name] for name in ("metric", "rate", "sub", "del", "ins")] == [
        *("CER", "0.00", "0.00", "0.00", "0.00")
    ]
    assert chinese["WER"] == "200.00"
    assert rows[-1]["metric"] == "mixed" and rows[-1]["rate"] == "0.00"
    Path("langs").write_text("a_u en\nb_u klingon\nc_u zho\n")
    score.main([*decoded, "--languages", "langs"])
    assert "scored by words: klingon;" in caplog.text


def test_compare_puts_the_table_into_a_readme_and_can_do_so_again(experiments, tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- results:begin -->", "<!-- results:end -->"
    readme.write_text(f"# A\n{begin}\nold\n{end}\n# B\n")
    compare.main(compare_arguments(experiments, "--readme", "README.md"))
    once = readme.read_text()
    assert once.startswith(f"# A\n{begin}\n\n| system")
    assert once.endswith(f"\n\n{end}\n# B\n")
    assert "old" not in once
    assert "cross-domain (fleurs_test): lower for this common checkpoint" in once
    compare.main(compare_arguments(experiments, "--readme", "README.md"))
    assert readme.read_text() == once


@pytest.mark.parametrize(
    "content",
    [
        "no markers",
        "<!-- results:begin -->",
        "<!-- results:end --> <!-- results:begin -->",
        "<!-- results:begin --> <!-- results:begin --> <!-- results:end -->",
    ],
)
def test_a_readme_with_wrong_markers_is_left_alone(experiments, tmp_path, content):
    (tmp_path / "README.md").write_text(content)
    with pytest.raises(SystemExit, match="results:begin"):
        compare.main(compare_arguments(experiments, "--readme", "README.md"))
    assert (tmp_path / "README.md").read_text() == content


def test_compare_names_the_score_that_is_not_there(experiments):
    with pytest.raises(SystemExit, match=r"error: exp/none/decode_x/.*score\.json does not exist"):
        compare.main(compare_arguments([experiments[0], "exp/none"]))


def test_compare_without_a_test_set_is_a_usage_error(capsys):
    arguments = ["--baseline", "a", "--systems", "b", "--decode_tag", "x"]
    with pytest.raises(SystemExit):
        compare.main([*arguments, "--output", "o.md", "--json", "o.json"])
    assert "--in_domain or --cross_domain" in capsys.readouterr().err


def test_commands_start_without_torch_and_espnet():
    code = (
        "import sys, espnet_otreg.stages.score, espnet_otreg.stages.compare\n"
        "print(sorted({'torch', 'espnet', 'espnet2'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def manifest(path, texts, *, numbered):
    path.parent.mkdir(exist_ok=True)
    rows = [
        {
            "audio_filepath": f"sample_{i}" if numbered else f"/data/{name}.wav",
            "duration": 1.0,
            "time": None,
            "text": REFERENCES[name].upper(),
            "pred_text": text,
        }
        for i, (name, text) in enumerate(texts.items())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "named"])
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "folder"])
def test_a_leaderboards_predictions_are_compared_by_one_command(decoded, numbered, as_file, capsys):
    score.main([*decoded[:4], "--output", "ours/s/score.json"])
    texts = {"c_u": "你好吗", "a_u": "good morning to you", "b_u": "hello word"}
    manifest(Path("theirs/s.jsonl"), texts, numbered=numbered)
    external = "theirs/s.jsonl" if as_file else "theirs"
    given = ["--cross_domain", "s", "--output", "o.md", "--json", "o.json", "--samples", "100"]
    compare.main(["--external", "ours=ours", f"theirs={external}", *given])
    results = read_json(Path("o.json"))["test_sets"][0]["parts"]["total"]["results"]
    assert results["theirs"]["seed_rates"] == pytest.approx([1 / 9])
    assert results["ours"]["seed_rates"] == pytest.approx([5 / 9])
    assert "theirs against ours:" in capsys.readouterr().out


def test_predictions_of_another_set_or_without_a_score_to_compare_with_are_told(decoded):
    given = ["--cross_domain", "s", "--output", "o.md", "--json", "o.json"]
    manifest(Path("theirs/s.jsonl"), dict.fromkeys(REFERENCES, "x"), numbered=True)
    with pytest.raises(SystemExit, match="no system has a score of s"):
        compare.main(["--external", "ours=ours", "theirs=theirs", *given])
    score.main([*decoded[:4], "--output", "ours/s/score.json"])
    row = {"audio_filepath": "sample_0", "text": "another", "pred_text": "x"}
    Path("theirs/s.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(SystemExit, match="'another', is no reference that is left"):
        compare.main(["--external", "ours=ours", "theirs=theirs", *given])


def test_answers_that_are_unrelated_to_the_audio_are_named(decoded, caplog):
    Path("text").write_text("a_u she sells red shells\nb_u hello world\nc_u 你好吗\n", "utf-8")
    score.main(decoded)
    assert "text: 33.3 % of the answers are fluent and unrelated to the audio" in caplog.text
    caplog.clear()
    Path("text").write_text("a_u good mourning\nb_u hello world\nc_u 你好吗\n", "utf-8")
    score.main(decoded)
    assert "unrelated" not in caplog.text

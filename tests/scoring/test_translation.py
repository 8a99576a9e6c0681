"""Scoring of translations, against sacrebleu itself."""

import json

import pytest
import sacrebleu

from espnet_otreg.files import write_lines
from espnet_otreg.stages.translation import main

REFERENCES = [
    "the doctor always finds the guitar at the hotel",
    "tonight the singer must repair a black picture",
    "I see three new guitars behind the hotel",
    "This morning, the student danced in the city.",
] * 5


@pytest.fixture
def folders(tmp_path):
    """One set, and experiments that translate it by a function of the reference."""
    keys = [f"utt{i}" for i in range(len(REFERENCES))]

    def write(path, texts):
        write_lines(path, [f"{key} {text}".strip() for key, text in zip(keys, texts, strict=True)])

    write(tmp_path / "test/text.en", REFERENCES)
    for name, change in {
        "good1": lambda i, text: text,
        "good2": lambda i, text: text if i % 4 else text.replace("the", "a"),
        "bad1": lambda i, text: text.replace("the", "a").upper() if i % 3 else "",
        "bad2": lambda i, text: text.split()[0],
    }.items():
        write(
            tmp_path / name / "decode/test/text",
            [change(i, text) for i, text in enumerate(REFERENCES)],
        )
    return tmp_path


def command(folders, *systems, target="en"):
    paths = [",".join(str(folders / name) for name in system.split(",")) for system in systems]
    return [
        *("--systems", *paths, "--names", *systems, "--decode_tag", "decode"),
        *("--sets", str(folders / "test"), "--target", target, "--samples", "200"),
        *("--output", str(folders / "page.md"), "--json", str(folders / "page.json")),
    ]


def translations(folders, name):
    rows = (folders / name / "decode/test/text").read_text(encoding="utf-8").splitlines()
    return [row.partition(" ")[2] for row in rows]


def test_scores_are_sacrebleus_of_each_seed(folders, capsys):
    main(command(folders, "bad1,bad2", "good1,good2"))
    found = json.loads((folders / "page.json").read_text())
    for name, row in zip(("bad1", "bad2"), range(2), strict=True):
        given = translations(folders, name)
        scores = found["scores"]["bad1,bad2/test"]
        assert scores["bleu"][row] == pytest.approx(
            sacrebleu.corpus_bleu(given, [REFERENCES]).score
        )
        assert scores["chrf"][row] == pytest.approx(
            sacrebleu.corpus_chrf(given, [REFERENCES]).score
        )
    assert "tok:13a" in found["signatures"]["BLEU"]
    page = (folders / "page.md").read_text(encoding="utf-8")
    assert page in capsys.readouterr().out
    assert "| test | good1,good2 |" in page and " ± " in page


def test_the_paired_test_tells_better_from_equal(folders):
    main(command(folders, "bad1", "good1"))
    found = json.loads((folders / "page.json").read_text())["scores"]
    assert found["good1/test"]["bleu_p"][0] < 0.05 and found["good1/test"]["bleu"] == [
        pytest.approx(100)
    ]
    assert found["bad1/test"]["bleu_p"] == []
    (folders / "same").symlink_to(folders / "good1")
    main(command(folders, "good1", "same"))
    found = json.loads((folders / "page.json").read_text())["scores"]
    assert found["same/test"]["chrf_p"][0] > 0.5


def test_a_seed_without_partner_meets_the_baselines_first(folders):
    main(command(folders, "good1", "bad1,bad2"))
    found = json.loads((folders / "page.json").read_text())["scores"]
    assert len(found["bad1,bad2/test"]["bleu_p"]) == 2


def test_a_missing_translation_is_an_error_and_no_empty_answer(folders):
    path = folders / "good1/decode/test/text"
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(SystemExit, match="lacks 1 of 20 utterances, first utt0: decode again"):
        main(command(folders, "good1"))


def test_a_language_without_translations_names_those_present(folders):
    with pytest.raises(SystemExit, match="has translations into en"):
        main(command(folders, "good1", target="de"))

import pytest

from espnet_otreg.corpora import fillets
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from tests.support import packages

TRAIN, DEV, TEST = "barrel", "bathroom", "airplane"  # levels, as they are drawn


def tree(root, lines, level=TRAIN, language="nl"):
    packages.script(root, level, language, lines)
    return packages.acted(root, level, language, [line[0] for line in lines])


def prepare(root, split="train", language="nl"):
    return fillets.prepare(root, language, split, root / "work")


def test_levels_are_drawn_alike_in_every_language():
    assert [fillets.split_of(level) for level in (TRAIN, DEV, TEST)] == ["train", "dev", "test"]


def test_speakers_are_roles_and_every_line_has_its_english(tmp_path):
    lines = [
        ("a-m", "font_small", "What is that?", "Wat is dat?"),
        ("a-v", "font_big", 'A \\"ship\\".\\n', 'Een \\"schip\\".'),
    ]
    small, big = prepare(tree(tmp_path, lines)).records
    small, big = sorted((small, big), key=lambda record: record.utt_id, reverse=True)
    assert (small.speaker, small.text, small.translation) == (
        "fillets-nl-small", "Wat is dat?", "What is that?",
    )  # fmt: skip
    assert (big.text, big.translation, big.target) == ('Een "schip".', 'A "ship".', "en")
    assert small.utt_id == "fillets-nl-small-train-barrel-a-m"
    assert small.license == "GPL-2.0-only"


def test_a_text_of_the_test_never_trains(tmp_path):
    tree(tmp_path, [("a", "font_big", "Yes.", "Ja, dat is zo."), ("b", "font_big", "No.", "Nee.")])
    tree(tmp_path, [("c", "font_big", "Yes!", "Ja, dat is zo!")], TEST)
    train = prepare(tmp_path)
    assert [record.text for record in train.records] == ["Nee."]
    assert by_category(train.rejected) == {"text of another split": 1}
    assert [record.text for record in prepare(tmp_path, "test").records] == ["Ja, dat is zo!"]


def test_lines_that_cannot_be_used_are_listed_and_music_is_counted(tmp_path):
    lines = [
        ("a", "font_big", "Not translated."),
        ("b", "font_big", "Ship LC-10.", "Het schip LC-10."),
        ("c", "font_big", "A word.", "Een слово."),
        ("d", "", "", ""),
        ("e", "font_big", "A line.", "..."),
    ]
    packages.acted(tree(tmp_path, lines), TRAIN, "nl", ["stray"])
    train = prepare(tmp_path)
    assert not train.records and train.notes == {"recordings without words": 1}
    assert by_category(train.rejected) == dict.fromkeys(
        ("no transcript", "not translated", "number", "other script", "empty sentence"), 1
    )


def test_a_line_of_a_shared_script_is_found_by_its_name(tmp_path):
    packages.script(tmp_path, "share", "nl", [("border-m", "font_small", "Out!", "Eruit nu!")])
    packages.acted(tmp_path, TRAIN, "nl", ["border-m"])
    assert [record.text for record in prepare(tmp_path).records] == ["Eruit nu!"]


@pytest.mark.parametrize(
    ("present", "message"),
    [("recordings", "fillets-ng-data\\."), ("texts", "fillets-ng-data-nl\\.")],
)
def test_the_package_that_is_missing_is_named(tmp_path, present, message):
    if present == "texts":
        packages.script(tmp_path, TRAIN, "nl", [("a", "font_big", "Yes.", "Ja.")])
    else:
        packages.acted(tmp_path, TRAIN, "nl", ["a"])
    with pytest.raises(UserError, match=message):
        prepare(tmp_path)
    assert fillets.languages(tmp_path) == []


def test_languages_are_those_whose_recordings_and_texts_are_there(tmp_path):
    root = tree(tmp_path, [("a", "font_big", "Yes.", "Ja.")])
    assert fillets.languages(root) == ["nl"]
    with pytest.raises(UserError, match="no split 'validated'"):
        prepare(root, "validated")

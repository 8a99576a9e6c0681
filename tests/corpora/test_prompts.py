import os
from collections import Counter
from pathlib import Path

import pytest

from espnet_otreg.corpora import prompts, prompts_text
from espnet_otreg.corpora.datadir import DataDir
from espnet_otreg.corpora.record import by_category
from espnet_otreg.errors import UserError
from espnet_otreg.recipe.stamps import Stamps
from espnet_otreg.stages import prepare_data
from tests.support import packages

EVERY = (*prompts.SPLITS, prompts.WHOLE)
TEXTS = {  # agent-incorrect and conf-extended are of the test, conf-getchannel of dev
    "agent-incorrect": "Login incorrect.  Please enter your agent number.",
    "conf-extended": "The conference has been extended.",
    "conf-getchannel": "Please enter the channel number.",
    "activated": "Activated.",
    "agent-pass": "Please enter your password.",
}
KEYS = {"train": {"activated", "agent-pass"}, "dev": {"conf-getchannel"}}
KEYS |= {"test": {"agent-incorrect", "conf-extended"}}
KEYS |= {"all3": {"agent-pass", "agent-incorrect", "conf-extended", "conf-getchannel"}}


def prepare(root, split="train", language="en"):
    return prompts.prepare(root, language, split, root / "work")


def keys(prepared):
    return {Path(record.audio).stem for record in prepared.records}


def test_splits_are_those_of_the_table_and_all3_is_all_of_three_words(tmp_path):
    root = packages.prompts(tmp_path, TEXTS)
    assert {split: keys(prepare(root, split)) for split in EVERY} == KEYS


def test_a_key_is_in_the_same_split_in_every_language():
    table = prompts.splits()
    assert set(table.values()) == set(prompts.SPLITS)
    lines = Path(prompts.__file__).with_name(prompts.SPLIT_TABLE).read_text().splitlines()[1:]
    assert len(lines) == len(table) > 600  # no key twice
    counts = Counter(table.values())
    assert counts["dev"] < counts["test"] < counts["train"]


def test_a_text_of_the_test_never_trains(tmp_path):
    same = {**TEXTS, "agent-pass": "the conference has been EXTENDED"}
    root = packages.prompts(tmp_path, same)
    train = prepare(root)
    assert keys(train) == {"activated"}
    assert by_category(train.rejected) == {"text of another split": 1}
    assert keys(prepare(root, "test")) == KEYS["test"]
    assert "agent-pass" in keys(prepare(root, "all3"))


def test_short_prompts_are_counted_where_they_are_left_to_training(tmp_path):
    root = packages.prompts(tmp_path, {**TEXTS, "conf-extended": "Extended."})
    test = prepare(root, "test")
    assert keys(test) == {"agent-incorrect"} and not test.rejected
    assert test.notes["prompts of fewer than 3 words, left to train"] == 1


@pytest.mark.parametrize(
    ("language", "listed", "said"),
    [
        ("en", "press * to toggle pause, press # to go on", "press star to toggle pause, press "),
        ("en", "Press 5 to leave a message", "Press five to leave a message"),
        ("en", "at [@]", "at"),
        ("en", "3D audio disabled", "three D audio disabled"),
        ("es", "Ya esta en la conferencia.", "Ya está en la conferencia."),
        ("es", "Si esta es la persona, marque 1", "Si esta es la persona, marque uno"),
        ("es", "Contrasena incorrecta, extension 2.", "Contraseña incorrecta, extensión dos."),
        ("fr", "Vous avez étez expulsé, appuyez sur 1.", "Vous avez été expulsé, appuyez sur un."),
        ("fr", "Numero de telephone", "Numéro de téléphone"),
        ("it", "Questo non pu? essere, premere 3", "Questo non può essere, premere tre"),
        ("it", "La conferenza ? piena.", "La conferenza è piena."),
        ("ru", "Что бы выйти, нажмите 1", "Чтобы выйти, нажмите один"),
    ],
)
def test_texts_become_what_is_said(language, listed, said):
    assert prompts_text.transcript("some-key", listed, language).text.startswith(said)


@pytest.mark.parametrize(
    ("language", "listed", "reason"),
    [
        ("en", None, "no transcript"),
        ("en", "  ", "no transcript"),
        ("en", "dial 600 to execute a test", "number"),
        ("en", "a 28.8 kilobit modem", "number"),
        ("en", "visit www.asterisk.org", "address"),
        ("en", "[sound of a door] come in", "brackets"),
        ("en", "on / off", "sign"),
        ("es", "Marque el asterisco номер", "other script"),
        ("fr", "appuyez sur дièse", "other script"),
        ("ru", "Используйте 7 для Q", "other script"),
    ],
)
def test_what_nobody_can_read_in_one_way_is_left_out_with_the_reason(language, listed, reason):
    said = prompts_text.transcript("some-key", listed, language)
    assert not said.text and said.reason.partition(":")[0] == reason


def test_every_rule_has_a_reason_and_stands_once():
    rules = prompts_text.rules()
    assert len({rule[:3] for rule in rules}) == len(rules)
    assert all(rule.why and rule.old and rule.kind in prompts_text.KINDS for rule in rules)
    assert {rule.language for rule in rules} == {"*", *prompts.LANGUAGES}
    digits = Counter(rule.language for rule in rules if rule.kind == "digit")
    assert digits == dict.fromkeys(prompts.LANGUAGES, 10)


def test_recordings_without_speech_or_text_are_counted_or_listed(tmp_path):
    root = packages.prompts(tmp_path, TEXTS, more="beep silence/1 digits/7")
    packages.prompt_list(root, [*(f"{k}: {v}" for k, v in TEXTS.items()), "absent: No file."])
    train = prepare(root)
    assert train.notes == {"recordings without speech": 2, "texts without a recording": 1}
    assert [entry.reason for entry in train.rejected] == [
        "no transcript: the package's list has no text for it"
    ]


def test_recordings_longer_than_an_encoder_hears_at_once_are_listed(tmp_path):
    root = packages.prompts(tmp_path, TEXTS)
    next(root.rglob("agent-pass.g722")).write_bytes(bytes(30 * 8000))
    next(root.rglob("activated.g722")).write_bytes(bytes(31 * 8000))
    train = prepare(root)
    assert [entry.reason for entry in train.rejected] == ["too long: 31.0 s, the limit is 30 s"]
    assert keys(train) == {"agent-pass"}


def test_two_texts_for_one_key_belong_to_neither(tmp_path):
    root = packages.prompts(tmp_path, TEXTS)
    packages.prompt_list(root, ["agent-pass: One.", "agent-pass: Two.", "activated: Activated."])
    assert by_category(prepare(root).rejected)["conflicting duplicate"] == 1


def test_a_key_of_another_version_has_no_split_but_can_be_tested_on(tmp_path):
    root = packages.prompts(tmp_path, {**TEXTS, "brand-new": "This one is brand new."})
    assert by_category(prepare(root).rejected) == {"key without a split": 1}
    assert "brand-new" in keys(prepare(root, "all3"))


def test_ids_begin_with_the_speaker_and_the_tables_tell_licence_and_credits(tmp_path):
    for language, texts in (("en", TEXTS), ("fr", {"agent-pass": "Composez votre mot."})):
        packages.prompts(tmp_path / "in", texts, language)
    words = ["--corpus", "prompts", "--root", str(tmp_path / "in"), "--languages", "en fr"]
    prepare_data.main([*words, "--splits", "train", "--output", str(tmp_path / "data")])
    tables = DataDir.load(tmp_path / "data" / "prompts_train").tables
    assert set(tables["utt2spk"].values()) == {"allison_smith", "june_wallack"}
    assert all(utt.startswith(f"{who}-") for utt, who in tables["utt2spk"].items())
    assert set(tables["utt2license"].values()) == {"CC-BY-SA-3.0"}
    assert any("June Wallack" in named for named in tables["utt2attribution"].values())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: root.joinpath("asterisk-en").rename(root / "x"), "Set PROMPTS in db.sh"),
        (
            lambda root: next(root.rglob("*.txt.gz")).write_bytes(b"\x1f\x8b\x08torso"),
            "unpack the package again",
        ),
        (
            lambda root: next(root.rglob("en_US*")).rename(next(root.rglob("sounds")) / "en_XX_y"),
            "whose speaker and licence are known",
        ),
    ],
)
def test_what_is_missing_or_broken_is_said(tmp_path, damage, message):
    root = packages.prompts(tmp_path, TEXTS)
    damage(root)
    with pytest.raises(UserError, match=message):
        prepare(root)


def test_other_splits_and_languages_are_refused(tmp_path):
    root = packages.prompts(tmp_path, TEXTS)
    with pytest.raises(UserError, match="no split 'validated'; their splits are train, dev, test"):
        prepare(root, "validated")
    assert prompts.languages(root) == ["en"] and not prompts.has_language("de")


@pytest.mark.skipif(not os.environ.get("PROMPTS"), reason="PROMPTS names no folder")
def test_the_real_packages_keep_texts_apart():
    root = Path(os.environ["PROMPTS"])
    for language in prompts.languages(root):
        seen: dict[str, str] = {}
        for split in prompts.SPLITS:
            listed = prepare(root, split, language)
            assert "text of another split" not in by_category(listed.rejected)
            for record in listed.records:
                assert seen.setdefault(record.text.lower(), split) == split
        assert len(prepare(root, "all3", language).records) >= 225


def test_a_recipe_sees_that_the_list_changed(tmp_path):
    stamps = []
    for text in ("Activated.", "Activated, and more of it."):
        packages.prompts(tmp_path / "corpus", {"activated": text})
        stamps.append(Stamps(tmp_path / "cache.json").corpus(str(tmp_path / "corpus")).stamp)
    assert stamps[0] != stamps[1]

"""Every option is checked before anything runs, and means what it says."""

import subprocess

import pytest

from espnet_otreg import corpora
from espnet_otreg.corpora import prompts
from espnet_otreg.errors import UserError
from espnet_otreg.recipe.declared import OPTIONS
from espnet_otreg.recipe.declared_data import CORPORA, WHOLE
from espnet_otreg.recipe.derived import derive
from espnet_otreg.recipe.options import assignments, help_text, main, resolve

FACTS = ["--train_corpora", "covost2", "--test_corpora", "covost2 fleurs"]


@pytest.fixture(autouse=True)
def configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("init", "a", "b"):
        (tmp_path / f"{name}.yaml").touch()


def read(*given, real=(), mini=(), **environment):
    facts = [*FACTS, "--init_config", "init.yaml", "--inference_method", "ctc_greedy"]
    return resolve([*facts, "real:", *real, "mini:", *mini, "given:", *given], environment)


BOTH = {"COVOST2": "/c", "FLEURS": "/f"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--stage", "abc"], "--stage 'abc': expected a stage from 0 to 15"),
        (["--stop_stage", "xyz"], "--stop_stage 'xyz': expected a stage"),
        (["--stage", "16"], "expected a stage from 0 to 15"),
        (["--stage", "5", "--stop_stage", "3"], "--stop_stage 3 is before --stage 5"),
        (["--stage"], "option --stage needs a value"),
        (["--ngpu", "abc"], "--ngpu 'abc': expected a whole number, 0 or more or auto"),
        (["--train_nj", "0"], "--train_nj '0': expected a whole number, 1 or more"),
        (["--nj", "-1"], "--nj '-1': expected"),
        (["--seeds", ""], "--seeds is not set"),
        (["--seeds", "1 x"], "--seeds '1 x': expected whole numbers"),
        (["--seeds", "1 1"], "no value twice"),
        (["--init_seeds", "0 x"], "--init_seeds '0 x': expected whole numbers"),
        (
            ["--lm_seed", "2"],
            "--lm_seed 2 makes another mini language model, and --language_model is",
        ),
        (["--asr_config", "a.yaml c.yaml"], "--asr_config: config c.yaml does not exist"),
        (["--asr_config", "a.yaml ./a.yaml"], "a is there twice"),
        (["--asr_config", "a.yaml", "--names", "x;y"], "--names names 2 systems"),
        (["--asr_config", "a.yaml b.yaml", "--names", "x;x"], "x is there twice"),
        (["--asr_config", "a.yaml", "--inference_method", "beam"], "needs --inference_config"),
        (["--asr_config", "a.yaml", "--pack_seed", "9"], "--pack_seed 9 is none of --seeds (1)"),
        (["--asr_config", "a.yaml", "--pack_systems", "c"], "c is none of --asr_config"),
        (["--token_type", "foo"], "--token_type 'foo': expected bpe or char or lm or slm"),
        (["--token_type", "lm"], "--token_type lm needs --language_model"),
        (["--token_type", "slm", "--language_model", "x"], "needs --speech_encoder"),
        (["--cache_frames", "true"], "--cache_frames true needs --speech_encoder"),
        (
            ["--speech_encoder", "x", "--feats_normalize", "global_mvn"],
            "nothing for --speech_encoder",
        ),
        (["--report", "maybe"], "--report 'maybe': expected true or false"),
        (["--mini", "maybe"], "--mini 'maybe': expected true or false or auto"),
        (["--max_rejected", "some"], "expected a number"),
        (["--speed_perturb_factors", "0.9 fast"], "expected a number"),
        (["--train_corpora", "covost3"], "covost3 is none of them"),
        (["--train_corpora", ""], "--train_corpora is not set"),
        (["--nonsense", "1"], "unknown option --nonsense"),
        (["--PATH", "/x"], "unknown option --PATH"),
        (["--a[$(touch owned)]", "1"], "unknown option"),
        (["13"], "expected --option value, got '13'"),
        (["--stock_config", "a.yaml"], "--stock_config needs --token_type slm and --cache_frames"),
        (["--answer", "text.en"], "--answer text.en needs --token_type slm"),
        (["--asr_args", "--x @y"], "no word that begins with @"),
        (["--test_split", "valid"], "--test_split 'valid': expected test or dev"),
        (["--test_split", "dev", "--overlap", "drop"], "--test_split dev with drop: training"),
        (["--protocol", "paper"], "--protocol paper: this recipe has none"),
        (["--protocol", "published"], "--protocol 'published': expected recipe or paper"),
    ],
)
def test_a_wrong_word_is_one_clear_line(given, message):
    with pytest.raises(UserError) as error:
        read(*given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_values_may_follow_an_equals_sign_and_names_may_have_dashes():
    values = read("--mini=true", "--train-nj=3", "--asr_args=--max_epoch 1")
    assert (values["mini"], values["train_nj"], values["asr_args"]) == (
        "true", "3", "--max_epoch 1",
    )  # fmt: skip


def test_later_words_win_and_facts_depend_on_the_corpora():
    facts = {"real": ["--nbpe", "5000"], "mini": ["--nbpe", "400"]}
    assert read(**facts)["nbpe"] == "400"
    assert read(**facts, **BOTH)["nbpe"] == "5000"
    assert read("--nbpe", "7", **facts, **BOTH)["nbpe"] == "7"
    assert read("--mini", "true", **facts, **BOTH)["nbpe"] == "400"


@pytest.mark.parametrize(
    ("given", "environment"),
    [
        ([], {"COVOST2": "/c"}),
        (["--mini", "false"], {"COVOST2": "/c"}),
        (["--mini", "false"], {}),
        (["--init_corpora", "mls"], BOTH),
    ],
)
def test_a_corpus_without_a_path_is_an_error_never_a_silent_miniature(given, environment):
    with pytest.raises(UserError, match=r"db.sh has no path for (fleurs|covost2 fleurs|mls)"):
        read(*given, **environment)


def test_assignments_are_quoted_for_the_shell(tmp_path):
    evil = "$(touch owned) `touch owned` 'x' \"y\" ; touch owned"
    text = assignments({"names": evil, "shown": [evil, "two words"]})
    script = f'{text}\nprintf "%s\\n" "${{names}}" "${{shown[@]}}"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [evil, evil, "two words"]
    assert not (tmp_path / "owned").exists()


def test_help_tells_every_option_and_stage():
    told = help_text()
    for option in OPTIONS.values():
        assert f"--{option.name} " in told and len(option.help) > 4
    assert "11 train" in told


def test_in_a_queue_the_jobs_count_their_cores_and_gpus_and_the_queue_orders_them():
    queued = derive(read(), {"cmd_backend": "slurm"})
    assert (queued["inference_nj"], queued["cores"], queued["cores_each"]) == ("%cores",) * 3
    assert (queued["ngpu"], queued["train_nj"]) == ("auto", "1000")
    given = derive(read("--inference_nj", "3", "--train_nj", "2"), {"cmd_backend": "slurm"})
    assert (given["inference_nj"], given["train_nj"]) == ("3", "2")


def test_several_machines_without_a_queue_train_one_model_at_a_time():
    values = read("--num_nodes", "2", "--ngpu", "0")
    assert derive(values, {})["train_nj"] == "1"
    with pytest.raises(UserError, match="--num_nodes 2 --train_nj 3: without a queue"):
        derive({**values, "train_nj": "3"}, {})
    assert derive({**values, "train_nj": "3"}, {"cmd_backend": "slurm"})["train_nj"] == "3"


PAPER = {"COVOST2": "/c", "FLEURS": "/f", "LIBRISPEECH": "/l", "MLS": "/m"}
SECTIONS = ["real:", "--nbpe", "5000", "paper:", "--train_corpora", "librispeech mls",
            "--test_corpora", "librispeech covost2 fleurs"]  # fmt: skip


def protocol(*given, **environment):
    return read(*given, **environment, real=SECTIONS[1:])


def test_a_papers_facts_go_over_the_real_ones_where_they_are_asked_for():
    assert protocol(**BOTH)["train_corpora"] == "covost2"
    chosen = protocol("--protocol", "paper", **PAPER)
    assert (chosen["train_corpora"], chosen["nbpe"]) == ("librispeech mls", "5000")


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ([], BOTH, "no path for librispeech mls, though for covost2 fleurs"),
        ([], {}, "no path for librispeech mls covost2 fleurs"),
        (["--train_corpora", "fleurs"], PAPER, "leave --train_corpora out"),
    ],
)
def test_a_papers_protocol_is_followed_or_refused(given, environment, message):
    with pytest.raises(UserError) as caught:
        protocol("--protocol", "paper", *given, **environment)
    assert message in str(caught.value)


def test_a_corpus_may_be_read_in_fewer_languages():
    values = read("--langs", "en es fr", "--corpus_langs", "fleurs:es,fr", **BOTH)
    found = derive(values, BOTH)
    assert found["langs_covost2"] == "en es fr" and found["langs_fleurs"] == "es fr"


@pytest.mark.parametrize("word", ["fleurs", "fleurs:", "mls:es", "fleurs:de"])
def test_languages_of_a_corpus_are_checked(word):
    values = read("--langs", "en es fr", "--corpus_langs", word, **BOTH)
    with pytest.raises(UserError, match="--corpus_langs"):
        derive(values, BOTH)


def test_a_script_may_ask_for_one_value(capsys):
    main(["value", "langs", *FACTS, "real:", "--langs", "en", "given:", "--help"])
    main(["value", "langs", *FACTS, "real:", "--langs", "en", "given:", "--langs", "en fr"])
    main(["value", "nbpe", *FACTS])
    assert capsys.readouterr().out.splitlines() == ["en", "en fr", "300"]
    with pytest.raises(SystemExit, match="--nj 'x': expected"):
        main(["value", "nj", *FACTS, "given:", "--nj", "x"])


REAL = {"NATURAL": "/n", "PROMPTS": "/p", "FILLETS": "/f"}


@pytest.mark.parametrize(
    ("trained", "tested", "domains"),
    [
        ("natural", "natural prompts", "natural_test --cross_domain prompts_all3"),
        ("prompts", "prompts natural", "prompts_test --cross_domain natural_test"),
    ],
)
def test_a_corpus_that_nothing_trains_on_is_tested_whole(trained, tested, domains):
    values = read("--train_corpora", trained, "--test_corpora", tested, **REAL)
    derived = derive(values, REAL)
    assert derived["domains"] == f"--in_domain {domains}"
    assert derived["test_sets"] == domains.replace("--cross_domain ", "")
    assert derived["tested"] == [f"@org:{name}" for name in derived["test_sets"].split()]
    assert set(derived["test_sets"].split()) < set(derived["all_sets"].split())
    assert derived["root_prompts"] == "^^/p"


def test_dev_sets_are_tuned_on_beside_what_test_sets_said_and_no_card_tells_of_them():
    given = ["--train_corpora", "natural", "--test_corpora", "natural fillets"]
    facts = ["--results", "exp/real", "--readme", "README.md"]
    values = read(*given, "--test_split", "dev", real=facts, **REAL)
    assert (values["results"], values["readme"], values["skip_packing"]) == (
        "exp/real/dev", "", "true",
    )  # fmt: skip
    derived = derive(values, REAL)
    assert derived["tested"] == ["@filter:natural_dev", "@org:fillets_dev"]
    assert derived["all_sets"] == "natural_train natural_dev fillets_dev"
    assert derived["frame_sets"] == "natural_train natural_dev fillets_dev"
    assert (derived["kept_apart"], derived["packed"]) == ("natural_train", "")
    chosen = read(*given, "--test_split", "dev", "--results", "exp/tried", real=facts, **REAL)
    assert chosen["results"] == "exp/tried"
    assert read(*given, real=facts, **REAL)["results"] == "exp/real"
    assert (derived["split_tag"], derive(chosen | {"test_split": "test"}, REAL)["split_tag"]) == (
        "_dev", "",
    )  # fmt: skip
    whole = ["--train_corpora", "natural", "--test_corpora", "natural prompts"]
    with pytest.raises(
        UserError, match="prompts_dev is in the test set prompts_all3: leave it out"
    ):
        read(*whole, "--test_split", "dev", **REAL)
    own = ["--train_corpora", "prompts", "--test_corpora", "prompts", "--test_split", "dev"]
    assert derive(read(*own, **REAL), REAL)["test_sets"] == "prompts_dev"


def test_a_corpus_that_pretrains_is_not_tested_whole():
    given = ["--init_corpora", "natural prompts", "--train_corpora", "natural"]
    values = read(*given, "--test_corpora", "prompts", **REAL)
    assert derive(values, REAL)["test_sets"] == "prompts_test"


def test_the_whole_split_is_the_one_that_the_corpus_has():
    assert WHOLE["prompts"] == prompts.WHOLE
    assert set(CORPORA) <= set(corpora.CORPORA)
    assert all(CORPORA[name] == corpora.CORPORA[name].VARIABLE for name in CORPORA)


def test_no_miniature_is_made_of_corpora_that_have_none():
    values = read("--train_corpora", "natural", "--test_corpora", "natural", "--mini", "true")
    with pytest.raises(
        UserError, match=r"no mini corpus stands for natural: set NATURAL in db\.sh"
    ):
        derive(values, {})


def test_a_rescorer_is_asked_for_where_there_is_one():
    facts = ["--asr_config", "a.yaml b.yaml", "--seeds", "1 2", "--rescore", "true"]
    lm = ["--token_type", "lm", "--language_model", "mini", "--mini", "true"]
    found = derive(read(*facts, *lm), {})
    assert found["rescored"] == ["seed1", "seed2"]
    assert found["trained_on"] == "covost2 covost2 covost2 covost2"  # two arms, start, rescored
    assert derive(read(*facts[2:], *lm), {})["rescored"] == []
    with pytest.raises(UserError, match="--rescore true needs --token_type lm"):
        derive(read(*facts, "--mini", "true"), {})

"""The folder an experiment trains in."""

import pytest

from espnet_otreg.bin.experiment_dir import main


def folder(capsys, config, expdir, **options):
    arguments = [word for key, value in options.items() for word in (f"--{key}", value)]
    main(["--config", str(config), "--expdir", str(expdir), *arguments])
    captured = capsys.readouterr()
    return captured.out.strip(), captured.err


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train_otreg.yaml"
    path.write_text("# a comment\noptim_conf:\n    lr: 0.001\nmax_epoch: 8\n")
    return path


def test_the_same_setting_has_the_same_folder_and_comments_do_not_matter(capsys, config, tmp_path):
    first, told = folder(capsys, config, tmp_path / "exp", tag="seed2")
    assert first.startswith(str(tmp_path / "exp" / "asr_train_otreg_seed2_"))
    assert told == ""
    config.write_text("max_epoch: 8\noptim_conf: {lr: 0.001}\n")
    assert folder(capsys, config, tmp_path / "exp", tag="seed2") == (first, "")


def test_an_edited_yaml_trains_in_a_new_folder_and_says_what_changed(capsys, config, tmp_path):
    first, _ = folder(capsys, config, tmp_path / "exp")
    config.write_text("optim_conf:\n    lr: 0.002\nmax_epoch: 8\n")
    second, told = folder(capsys, config, tmp_path / "exp")
    assert second != first
    assert f"differs from {first} in optim_conf.lr: 0.001 -> 0.002" in told


@pytest.mark.parametrize("option", ["arguments", "data", "parent"])
def test_whatever_decides_the_outcome_is_part_of_the_name(capsys, config, tmp_path, option):
    first, _ = folder(capsys, config, tmp_path / "exp")
    second, told = folder(capsys, config, tmp_path / "exp", **{option: "other"})
    assert second != first
    assert option in told


@pytest.mark.parametrize("text", ["a: [1", "- 1\n"])
def test_a_config_that_is_no_mapping_is_a_clear_error(config, tmp_path, text):
    config.write_text(text)
    with pytest.raises(SystemExit, match=r"error: .*train_otreg\.yaml"):
        main(["--config", str(config), "--expdir", str(tmp_path)])

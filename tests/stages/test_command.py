import shlex

from espnet_otreg.stages.command import command_line


def test_a_command_is_shown_so_that_it_can_be_run_again_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--data", str(tmp_path / "a b"), "--names", "it's", "--weight", "0.3"]
    given += ["--decoder_conf", f"model={tmp_path / 'c'}"]
    shown = command_line("python -m x", given)
    assert str(tmp_path) not in shown
    assert shlex.split(shown) == [
        *("python", "-m", "x", "--data", "a b", "--names", "it's", "--weight", "0.3"),
        *("--decoder_conf", "model=c"),
    ]

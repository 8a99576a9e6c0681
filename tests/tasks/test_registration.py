"""How ESPnet comes to know this package's models."""

import subprocess
import sys
import textwrap

import pytest

from espnet_otreg import shim
from espnet_otreg.compat import asr_task
from espnet_otreg.models.otreg import OTRegASRModel
from espnet_otreg.stages import asr_train
from espnet_otreg.tasks import asr as tasks


def test_registering_twice_is_harmless():
    tasks.register()
    assert asr_task.model_choices.get_class("otreg") is OTRegASRModel
    assert all(name == name.lower() for parts in tasks.PARTS.values() for name in parts)


def test_a_name_that_is_taken_is_not_replaced(monkeypatch):
    class Other(asr_task.ESPnetASRModel):
        pass

    monkeypatch.setitem(asr_task.model_choices.classes, "otreg", Other)
    with pytest.raises(RuntimeError, match=r"already taken by .*Other"):
        tasks.register()
    assert asr_task.model_choices.classes["otreg"] is Other


def test_a_part_of_the_wrong_type_is_refused(monkeypatch):
    monkeypatch.setitem(tasks.PARTS, "encoder_choices", {"wrong": OTRegASRModel})
    with pytest.raises(TypeError, match="subclass"):
        tasks.register()


def test_spawned_workers_know_the_model(tmp_path):
    """A worker of multi-GPU training imports `__main__` and what it unpickles, nothing else."""
    script = tmp_path / "start.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            import sys

            import espnet_otreg.shim

            def choices():
                from espnet2.tasks.asr import model_choices
                print(model_choices.choices())

            if __name__ == "__main__":
                worker = multiprocessing.get_context("spawn").Process(target=choices)
                worker.start()
                worker.join()
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "'otreg'" in done.stdout, done.stderr
    # and our own command's workers unpickle a method of our task, whose module registers
    assert asr_train.ASRTask.main_worker.__func__.__module__ == "espnet_otreg.tasks.asr"


@pytest.fixture
def restored_argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])


def test_the_shim_gives_a_stock_command_the_model():
    command = "-m espnet_otreg.shim -m espnet2.bin.asr_train --model otreg --print_config"
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "model: otreg" in done.stdout
    assert "Failed to import" not in done.stdout  # 202511 says so while the task loads
    assert "ot_conf" in done.stdout  # our options stand among the stock defaults
    assert "ctc_weight: 0.5" in done.stdout


@pytest.mark.usefixtures("restored_argv")
def test_the_shim_runs_what_else_asr_sh_asks_python_for(tmp_path, capsys):
    code = "import sys; print(sys.argv[1:], __name__)"
    shim.main(["-c", code, "a", "b"])
    script = tmp_path / "script.py"
    script.write_text(code)
    shim.main([str(script), "c"])
    assert capsys.readouterr().out == "['a', 'b'] __main__\n['c'] __main__\n"
    with pytest.raises(SystemExit, match="unknown option '-q'"):
        shim.main(["-q"])


def test_a_wrong_option_stops_training_before_data_is_read(tmp_path):
    config = tmp_path / "train.yaml"
    config.write_text("model: otreg\nmodel_conf:\n    ot_conf:\n        epsilon: 0\n")
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\n<unk>\na\n<sos/eos>\n")
    speech = tmp_path / "wav.scp"
    speech.write_text("utterance /missing.wav\n")
    with pytest.raises(SystemExit, match=r"error: ot_conf\.epsilon: expected a number above 0"):
        asr_train.main(
            [
                *("--config", str(config), "--token_list", str(tokens), "--ngpu", "0"),
                *("--output_dir", str(tmp_path / "exp")),
                *("--train_data_path_and_name_and_type", f"{speech},speech,sound"),
            ]
        )
    assert not (tmp_path / "exp").exists()

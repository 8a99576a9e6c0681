"""Registering when the task is imported: nothing before, nothing on another command's output."""

import importlib
import importlib.machinery
import os
import subprocess
import sys
import textwrap

import pytest

from espnet_otreg import hook

TASK = "espnet2.tasks.asr"
TOKENIZE = "--token_type word --field 2- --input text --output - --cleaner none"  # as stage 13 does
LIST_MODULES = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["LIST"], "w").write(" ".join(sys.modules)))
"""
SMALL = [
    *("espnet2.bin.tokenize_text " + TOKENIZE, "espnet2.bin.pack --help"),
    "espnet2.bin.launch --help",
]


def started(words, folder, **environment):
    return subprocess.Popen(
        [sys.executable, *words.split()],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_small_commands_print_byte_for_byte_what_stock_prints_and_load_no_task(tmp_path):
    (tmp_path / "text").write_text("a1 one two\nb2 drei\n")
    (tmp_path / "sitecustomize.py").write_text(LIST_MODULES)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    stock = [started(f"-m {command}", tmp_path) for command in SMALL]
    wrapped = [
        started(f"-m espnet_otreg.shim -m {command}", tmp_path, PYTHONPATH=path, LIST=f"{i}.list")
        for i, command in enumerate(SMALL)
    ]
    for i, (theirs, ours) in enumerate(zip(stock, wrapped, strict=True)):
        (expected, error), (printed, told) = theirs.communicate(), ours.communicate()
        assert theirs.returncode == ours.returncode == 0, (error, told)
        assert printed == expected, SMALL[i]
        loaded = (tmp_path / f"{i}.list").read_text().split()
        assert SMALL[i].split()[0] in loaded
        assert not {TASK, "espnet_otreg.tasks.asr", "espnet_otreg.compat"} & set(loaded)
        if "tokenize_text" in SMALL[i]:
            assert printed == b"one two\ndrei\n"


def test_a_folder_on_the_path_gives_a_stock_command_the_model_and_hides_no_other_sitecustomize(
    tmp_path,
):
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import sys\nprint('other ran', file=sys.stderr)\n")
    folder = subprocess.check_output([sys.executable, "-m", "espnet_otreg.hook", "--path"])
    path = os.pathsep.join([folder.decode().strip(), str(other), os.environ.get("PYTHONPATH", "")])
    command = "-m espnet2.bin.asr_train --model otreg --print_config"
    done = started(command, tmp_path, PYTHONPATH=path)
    printed, error = done.communicate()
    assert done.returncode == 0, error[-2000:]
    assert error.startswith(b"other ran\n")
    assert b"model: otreg" in printed and b"ot_conf" in printed
    assert b"Failed to import" not in printed  # 202511 says so while the task loads


def test_the_line_of_path_sh_is_silent_where_it_has_run_before(tmp_path):
    path = os.pathsep.join([str(hook.FOLDER), os.environ.get("PYTHONPATH", "")])
    done = started("-m espnet_otreg.hook --path", tmp_path, PYTHONPATH=path)
    assert done.communicate() == (f"{hook.FOLDER}\n".encode(), b"")


def test_the_pack_command_refuses_what_stock_cannot_open_in_one_line(tmp_path):
    (tmp_path / "config.yaml").write_text("model: slm\n")
    (tmp_path / "model.pth").touch()
    command = "-m espnet_otreg.shim -m espnet2.bin.pack asr --outpath packed.zip"
    files = "--asr_train_config config.yaml --asr_model_file model.pth"
    _, error = started(f"{command} {files}", tmp_path).communicate()
    (line,) = error.decode().splitlines()
    assert line.startswith("error: config.yaml has model: slm, which stock ESPnet cannot open")
    assert not (tmp_path / "packed.zip").exists()


def test_workers_inherit_the_folder_on_the_path(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            import sys

            def watched():
                print([type(finder).__name__ for finder in sys.meta_path][0])
                print([name for name in sys.modules if name.startswith(("torch", "espnet2"))])

            if __name__ == "__main__":
                worker = multiprocessing.get_context("spawn").Process(target=watched)
                worker.start()
                worker.join()
            """
        )
    )
    path = os.pathsep.join([str(hook.FOLDER), os.environ.get("PYTHONPATH", "")])
    printed, error = started(str(script), tmp_path, PYTHONPATH=path).communicate()
    assert printed == b"AfterImport\n[]\n", error


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Import a module of the given text, with the action of the given effect."""

    def load(text, action):
        (tmp_path / "watched_module.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(
            sys, "meta_path", [hook.AfterImport({"watched_module": action}), *sys.meta_path]
        )
        monkeypatch.delitem(sys.modules, "watched_module", raising=False)
        return importlib.import_module("watched_module")

    yield load
    sys.modules.pop("watched_module", None)


def test_what_is_printed_while_loading_goes_to_standard_error_and_nothing_else_does(tmp_path):
    (tmp_path / "loud.py").write_text(
        "import os, sys\nprint('loading')\nos.system('echo child')\n"
        "def say(file=sys.stdout): print('said', file=file)\n"  # as ESPnet's print_config
    )
    script = tmp_path / "start.py"
    script.write_text(
        "import sys\nfrom espnet_otreg import hook\n"
        "sys.meta_path.insert(0, hook.AfterImport({'loud': lambda module: print('acting')}))\n"
        "print('before')\nimport loud\nloud.say()\n"
    )
    printed, error = started(str(script), tmp_path).communicate()
    assert (printed, sorted(error.split())) == (
        b"before\nsaid\n",
        [b"acting", b"child", b"loading"],
    )


def test_the_action_meets_the_loaded_module_whose_loader_stays_what_it_was(watched):
    met = []
    module = watched("value = 3", lambda loaded: met.append((loaded, loaded.value)))
    assert met == [(module, 3)]
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader


def test_what_fails_in_the_action_fails_the_import(watched):
    def fail(module):
        raise RuntimeError("already taken")

    with pytest.raises(RuntimeError, match="already taken"):
        watched("", fail)
    assert "watched_module" not in sys.modules


def test_installing_twice_watches_once(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if not is_ours(f)])
    monkeypatch.setattr(hook, "ACTIONS", {})
    hook.install()
    hook.install()
    assert [is_ours(finder) for finder in sys.meta_path].count(True) == 1
    assert is_ours(sys.meta_path[0])


def is_ours(finder):
    return isinstance(finder, hook.AfterImport)

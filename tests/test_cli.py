"""One command whose verbs are the modules of espnet_otreg.stages."""

import shutil
import subprocess
import sys

import pytest

from espnet_otreg import __version__, cli

HEAVY = ("torch", "espnet2", "numpy", "scipy")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "bash"
    path.write_text(cli.completion("bash"))
    return path


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_a_parser_and_a_main(verb):
    module = cli.load(verb)
    assert callable(module.main)
    assert "--help" in cli.options_told_by(verb)


@pytest.mark.parametrize("given", ["--help", "--version"])
def test_what_needs_no_verb_loads_nothing_heavy(given):
    code = (
        "import sys; from espnet_otreg import cli\n"
        f"try: cli.main([{given!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not found, found\n"
        "assert not [name for name in sys.modules if name.startswith('espnet_otreg.stages')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage" if given == "--help" else f"espnet-otreg {__version__}")


def test_help_has_a_line_for_every_verb():
    rows = [line.split(maxsplit=1) for line in cli.usage().split("\n\n")[1].splitlines()]
    assert [name for name, _ in rows] == [*cli.VERBS, "completion"]
    assert max(map(len, cli.usage().splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["scor"], "error: unknown verb 'scor': did you mean score or rescore?\n"),
        (["xyzzy"], "error: unknown verb 'xyzzy': see espnet-otreg --help\n"),
        (["completion", "fish"], "error: completion takes one of bash, zsh, got 'fish'\n"),
    ],
)
def test_an_unknown_word_is_told_in_one_line(given, told, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(given)
    assert end.value.code == 2
    assert capsys.readouterr() == ("", told)


def test_a_verb_gets_its_options_and_its_exit_code_passes_through(monkeypatch):
    def ended(cmd):
        sys.exit({"--fail": 7}[cmd[0]])

    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(cli.load("score"), "main", ended)
    with pytest.raises(SystemExit) as end:
        cli.main(["score", "--fail"])
    assert end.value.code == 7


def test_a_verbs_help_names_the_verb(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)
    with pytest.raises(SystemExit) as end:
        cli.main(["upload", "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: espnet-otreg upload ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sc"], ["score"]),
        (["comp"], ["compare", "completion"]),
        (["upload", "--re"], ["--repo", "--required"]),
        (["upload", "--pack", "x", "--pri"], ["--private"]),
        (["completion", "b"], ["bash"]),
        (["nonsense", "--re"], []),
    ],
)
def test_bash_completes_verbs_and_the_options_of_each(script, words, expected):
    run = (
        'source "$1"; shift; COMP_WORDS=(espnet-otreg "$@"); COMP_CWORD=$#; _espnet_otreg; '
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p espnet-otreg >&2'
    )
    command = ["bash", "--norc", "-c", run, "bash", str(script), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == expected
    assert "-F _espnet_otreg espnet-otreg" in done.stderr


def test_zsh_reads_the_same_script_after_its_bridge_to_bash():
    script = cli.completion("zsh")
    assert script.endswith(cli.completion("bash"))
    assert "bashcompinit" in script.splitlines()[1]
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)

"""The engine runs what is not done, once, whole, and says the truth about it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_otreg.errors import UserError
from espnet_otreg.files import read_json
from espnet_otreg.recipe.run import Engine
from tests.support.tiny_steps import PROGRAM, ROOT, STEP, arguments, declared, graph, step, until


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        assert number
    return tmp_path


def run(*steps, **options):
    """Run steps; returns the graph."""
    whole = graph(*steps)
    Engine(whole, arguments(**options)).run()
    return whole


def test_a_step_reads_what_another_made_and_runs_once(capfd):
    steps = (step("a", "--text", "hello"), step("b", "--input", "@a/text"))
    made = run(*steps)
    assert (made.steps["b"].out / "copy").read_text() == "hello"
    record = read_json(made.steps["b"].record)
    assert record["key"] == made.steps["b"].key and record["read"].keys() == {"a"}
    before = (made.steps["b"].out / "copy").stat().st_mtime_ns
    capfd.readouterr()
    run(*steps)
    assert capfd.readouterr().err.count("already done") == 2
    assert (made.steps["b"].out / "copy").stat().st_mtime_ns == before


def test_names_may_hold_what_sweeps_call_their_variants():
    name = "train:lambda=0.1_epsilon_=_inf:seed1"
    made = run(step(name, "--text", "x"), step("b", "--input", f"@{name}/text"))
    assert (made.steps["b"].out / "copy").read_text() == "x"


def test_the_key_depends_on_words_contents_and_what_is_read_and_on_nothing_else():
    Path("c.yaml").write_text("weight: 0.3")
    reads = step("b", "--input", "@a/text", "--config", "^c.yaml")
    keys = {}
    for name, first in {
        "same": step("a", "--text", "x"),
        "free": step("a", "--text", "x", "--output", "@out", "+", "--ngpu", "3"),
        "other": step("a", "--text", "y"),
    }.items():
        first = first[:-2] if name == "free" else first
        keys[name] = graph(first, reads).steps["b"].key
    assert keys["same"] != keys["other"]
    alone = graph(step("a", "--text", "x"), step("further"), reads).steps["b"].key
    assert alone == keys["same"]
    Path("c.yaml").write_text("# a remark\nweight: 0.30")
    assert graph(step("a", "--text", "x"), reads).steps["b"].key == keys["same"]
    Path("c.yaml").write_text("weight: 0.4")
    assert graph(step("a", "--text", "x"), reads).steps["b"].key != keys["same"]


def test_a_command_reads_the_yaml_that_named_its_folder_though_it_is_edited_meanwhile():
    Path("c.yaml").write_text("weight: 0.3")
    whole = graph(step("a", "--config", "^c.yaml"))
    Path("c.yaml").write_text("weight: 0.7")
    Engine(whole, arguments()).run()
    assert (whole.steps["a"].out / "copy").read_text() == "weight: 0.3"


def test_a_failed_step_is_not_done_and_says_why(capfd):
    Path("bad").touch()
    steps = (step("a", "--fail_if", str(Path("bad").resolve())), step("b", "--input", "@a/text"))
    with pytest.raises(UserError, match="stage 1, a, failed with status 1"):
        run(*steps)
    assert "told to fail" in capfd.readouterr().err
    Path("bad").unlink()
    assert (run(*steps).steps["b"].out / "copy").exists()


def test_a_step_that_was_killed_says_what_kills():
    with pytest.raises(UserError, match=r"status -9.*: a process was killed .*where memory ends"):
        run(step("a", "--killed"))


def test_a_step_whose_input_came_out_otherwise_runs_again_and_else_does_not(capfd):
    Path("given").write_text("one")
    steps = (step("a", "--input", "given"), step("b", "--input", "@a/copy"))
    first = run(*steps)
    for text, again in (("one", 1), ("two", 2)):
        Path("given").write_text(text)
        for path in first.steps["a"].out.iterdir():
            path.unlink()
        first.steps["a"].out.rmdir()
        capfd.readouterr()
        run(*steps)
        assert capfd.readouterr().err.count(", to made") == again
        assert (first.steps["b"].out / "copy").read_text() == text


def test_a_stage_that_lacks_what_an_earlier_one_makes_names_it():
    with pytest.raises(UserError, match=r"reads .*a_.* and stage 1 has not made it: never made"):
        run(step("a"), step("b", "--input", "@a/text", stage=2), stage=2)


def test_trainings_run_side_by_side_after_what_they_start_from():
    go = str(Path("go").resolve())
    kinds = [
        step("init", kind="train", stage=11),
        *(step(n, "--input", "@init/text", "--started", f"{n}.on", "--wait_for", go, kind="train",
               stage=11) for n in ("one", "two")),
    ]  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, "2"], stdin=subprocess.PIPE)
    child.stdin.write(declared(*kinds))
    child.stdin.close()
    until(lambda: Path("one.on").exists() and Path("two.on").exists())
    Path("go").touch()
    assert child.wait(60) == 0


@pytest.fixture
def waiting():
    """An engine in another process whose one step waits."""
    steps = declared(step("a", "--started", "a.on", "--wait_for", "never", kind="train", stage=11))
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "1"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdin.write(steps)
    child.stdin.close()
    until(lambda: Path("a.on").exists())
    yield child
    child.kill()
    child.stderr.close()
    child.wait()


def commands() -> list[int]:
    """Find the waiting command in the process table."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
            here = os.readlink(entry.parent / "cwd") == os.getcwd()
            state = (entry.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if here and STEP.encode() in words and state != "Z":
            found.append(int(entry.parent.name))
    return found


def test_a_second_run_is_told_who_makes_the_folder(waiting):
    with pytest.raises(UserError, match=f"made by another run .process {waiting.pid} on "):
        run(step("a", "--started", "a.on", "--wait_for", "never", kind="train", stage=11))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_engine_ends_its_commands_end(waiting, number):
    assert commands()
    waiting.send_signal(number)
    until(lambda: not commands())


def test_one_failed_training_lets_the_others_end_and_fails_the_run(capfd):
    Path("bad").touch()
    steps = [
        step("one", "--fail_if", str(Path("bad").resolve()), kind="train", stage=11),
        step("two", kind="train", stage=11),
    ]
    with pytest.raises(UserError, match="a training failed"):
        run(*steps, train_nj=2)
    assert "one, failed with status 1" in capfd.readouterr().err
    assert graph(*steps).digest("two") is not None and graph(*steps).digest("one") is None


def test_what_may_fail_stops_nobody(capfd):
    Path("bad").touch()
    bad = str(Path("bad").resolve())
    steps = (step("a", "--fail_if", bad, kind="optional"), step("b", "<", "@a"))
    steps[1][5:] = ["--output", "@out", "<", "@a"]
    made = run(*steps)
    assert "goes on without a" in capfd.readouterr().err
    assert made.steps["b"].out.is_dir()


def test_what_a_killed_command_was_writing_is_removed_before_the_next_try():
    steps = [
        step("a"),
        step("b", "--text", "x", out="made/page.json"),
        step("c", "--text", "@up/TABLE.md", out="made/c_%/table.json"),
    ]
    a, b, c = graph(*steps).steps.values()
    left = [
        *(a.out / ".text.7.tmp", a.out / "deep/.audio.flac.7.tmp"),
        *(a.record.with_name(f".{a.record.name}.7.tmp"), a.out.with_name(f".{a.out.name}.7.tmp")),
        *(b.out.with_name(".page.json.7.tmp"), b.out.with_name(".page.per_utt.tsv.7.tmp")),
        *(c.out.with_name(".TABLE.md.7.tmp"), b.out.with_name(".page.zip.7.tmp") / "half"),
    ]
    others = b.out.with_name(".others.json.7.tmp")  # may be being written
    for path in (*left, others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hal")
    run(*steps)
    assert [path for path in Path("made").rglob(".*.tmp") if path.is_file()] == [others]
    assert [path.name for path in a.out.iterdir() if path.is_file()] == ["text"]


def test_a_link_shows_what_the_last_run_used():
    for text in ("x", "y"):
        made = run(step("a", "--text", text, out="data/%/set"))
        assert Path("data/set").resolve() == made.steps["a"].out.resolve()
        assert Path("data/set/text").read_text() == text


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("a", "--input", "@b/text")], "step a reads @b, and no step before it"),
        ([step("a"), step("a", out="else")], "two steps are called a"),
        ([step("a", out="x"), step("b", out="x")], "steps a and b both make x"),
    ],
)
def test_a_mistake_in_the_shell_is_told(steps, message):
    with pytest.raises(UserError, match=message):
        graph(*steps)

"""ESPnet's own recipe, unmodified: its pipes always, all of it where ESPNET_ROOT names a checkout.

    ESPNET_ROOT=/path/to/espnet python -m pytest tests/recipes/test_asr_sh.py

A checkout, or an unpacked sdist, of the installed version; nothing is written in it.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from espnet_otreg import hook
from espnet_otreg.files import read_table
from espnet_otreg.pretrained.masked_lm import LMTokenizer
from espnet_otreg.stages import make_mini, make_mini_lm, prepare_data
from tests.support.recipe import ROOT, environment

ESPNET = os.environ.get("ESPNET_ROOT", "")
PIPES = ROOT / "tests/support/asr_sh_pipes.sh"
needs_checkout = pytest.mark.skipif(not ESPNET, reason="ESPNET_ROOT names no checkout of ESPnet")
SETS = ("covost2_train", "covost2_dev", "covost2_test")
LINE = "export PYTHONPATH=$(python3 -m espnet_otreg.hook --path)${PYTHONPATH:+:$PYTHONPATH}"
ARGUMENTS = [  # of the smallest run; the machine it is for has a core and no GPU
    *("--lang", "all", "--ngpu", "0", "--nj", "1", "--inference_nj", "1", "--use_lm", "false"),
    *("--test_sets", SETS[2], "--feats_normalize", "utterance_mvn", "--audio_format", "wav"),
    *("--inference_config", "conf/decode.yaml", "--inference_args", "--maxlenratio 0.2"),
]
BPE = [
    *("--train_set", SETS[0], "--valid_set", SETS[1]),
    *("--token_type", "bpe", "--nbpe", "90", "--bpemode", "bpe"),
]
SCLITE = """\
#!/usr/bin/env bash
# Stands in for sclite where it is not installed: as many rows, no errors counted.
while [ $# -gt 0 ]; do case $1 in -r) ref=$2;; -h) hyp=$2;; esac; shift; done
[ "$(wc -l < "${ref}")" = "$(wc -l < "${hyp}")" ] || exit 1
echo "| SPKR | # Snt # Wrd | Corr Sub Del Ins Err S.Err |"
echo "| Sum/Avg | $(wc -l < "${ref}") 0 | 0 0 0 0 0 0 |"
"""


def test_the_pipes_of_asr_sh_pass_what_they_pass_without_us(tmp_path):
    (tmp_path / "text").write_text("a-1 one two\nb-2 zwei  drei\n")
    (tmp_path / "utt2spk").write_text("a-1 a\nb-2 b\n")
    folder = os.pathsep.join([str(hook.FOLDER), os.environ.get("PYTHONPATH", "")])
    ways = {
        "stock": (sys.executable, {}),
        "shim": (f"{sys.executable} -m espnet_otreg.shim", {}),
        "hook": (sys.executable, {"PYTHONPATH": folder}),
    }
    passed = {
        name: subprocess.check_output(
            [str(PIPES), python, "text", "utt2spk"],
            cwd=tmp_path,
            env={**environment(), **variables},
            text=True,
        )
        for name, (python, variables) in ways.items()
    }
    assert passed["stock"] == "one two\t(a-a-1)\nzwei drei\t(b-b-2)\n"
    assert passed["stock"] == passed["shim"] == passed["hook"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Seconds of speech."""
    folder = tmp_path_factory.mktemp("corpora")
    given = ("--size", "smoke", "--corpora", "covost2", "--languages", "en es", "--jobs", "1")
    make_mini.main([*given, "--output", str(folder)])
    return folder


@pytest.fixture
def asr1(corpora, tmp_path):
    """A recipe as ESPnet's setup.sh makes it, in a tree whose other parts are links."""
    (tmp_path / "egs2/otreg/asr1").mkdir(parents=True)
    (tmp_path / "tools").symlink_to(Path(ESPNET) / "tools")
    (tmp_path / "egs2/TEMPLATE").symlink_to(Path(ESPNET) / "egs2/TEMPLATE")
    folder = tmp_path / "egs2/otreg/asr1"
    setup = "egs2/TEMPLATE/asr1/setup.sh"
    subprocess.run([f"./{setup}", "egs2/otreg/asr1"], cwd=tmp_path, check=True, capture_output=True)
    given = ("--corpus", "covost2", "--root", str(corpora), "--languages", "en es")
    given += ("--splits", "train dev test", "--output", str(folder / "data"))
    prepare_data.main([*given, "--ids", "speaker"])
    lines = [LINE, f"export PATH={Path(sys.executable).parent}:$PATH"]
    if shutil.which("sclite") is None:
        (folder / "local/sclite").write_text(SCLITE)
        (folder / "local/sclite").chmod(0o755)
        lines.append("export PATH=$PWD/local:$PATH")
    (folder / "local/path.sh").write_text("\n".join([*reversed(lines), ""]))
    return folder


def configure(folder, name, **changes):
    """Copy a mini configuration, cut down to one epoch."""
    config = yaml.safe_load((ROOT / f"egs2/TEMPLATE/conf/{name}.yaml").read_text())
    cut = {"max_epoch": 1, "batch_size": 4} if "optim" in config else {}
    target = folder / f"conf/{Path(name).name}.yaml"
    target.write_text(yaml.safe_dump({**config, **cut, **changes}))
    return f"conf/{target.name}"


def asr_sh(folder, *arguments, before=()):
    """Run the recipe; what it printed."""
    done = subprocess.run(
        [*before, "./asr.sh", *ARGUMENTS, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@needs_checkout
def test_kaldis_tools_accept_the_data_directories_that_we_make_for_them(asr1):
    for name in SETS:
        command = ["utils/validate_data_dir.sh", "--no-feats", "--non-print", f"data/{name}"]
        path = f"{asr1 / 'utils'}:{os.environ['PATH']}"
        done = subprocess.run(
            command, cwd=asr1, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@needs_checkout
def test_the_whole_of_asr_sh_trains_decodes_scores_and_packs_what_stock_espnet_opens(asr1):
    configure(asr1, "mini/decode")
    config = configure(asr1, "mini/train_otreg")
    stages = ("--stage", "2", "--stop_stage", "14", "--skip_packing", "false")
    told = asr_sh(asr1, *BPE, *stages, "--asr_config", config)
    assert "Successfully finished" in told and "RuntimeWarning" not in told
    (folder,) = asr1.glob("exp/asr_train_otreg_*")
    assert "model: otreg" in (folder / "config.yaml").read_text()
    assert "loss_ot=" in (folder / "train.log").read_text()
    (decoded,) = folder.glob(f"*/{SETS[2]}/text")
    assert read_table(decoded).keys() == read_table(asr1 / f"data/{SETS[2]}/text").keys()
    assert "## exp/asr_train_otreg" in (folder / "RESULTS.md").read_text()
    (pack,) = folder.glob("*.zip")
    clip = next(iter(read_table(asr1 / f"dump/raw/{SETS[2]}/wav.scp").values()))
    script = """
        import sys
        import soundfile
        from espnet2.bin.asr_inference import Speech2Text
        try:
            import espnet
            load = espnet.load  # of 202611
        except (ImportError, AttributeError):
            load = lambda pack, task, **options: Speech2Text.from_pretrained(pack, **options)
        recognise = load(sys.argv[1], task="asr", beam_size=1, maxlenratio=0.2)
        print(type(recognise.asr_model).__name__, len(recognise(soundfile.read(sys.argv[2])[0])[0]))
        assert not [name for name in sys.modules if name.startswith("espnet_otreg.")]
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(pack), clip]
    done = subprocess.run(command, cwd=asr1, capture_output=True, text=True, env=environment())
    assert done.stdout.split()[:1] == ["ESPnetASRModel"], done.stderr[-3000:]


@needs_checkout
def test_one_command_trains_ot_transfer_under_asr_sh_and_its_answers_are_words(asr1):
    lm = asr1 / "lm"
    make_mini_lm.main(["--size", "smoke", "--output", str(lm)])
    configure(asr1, "mini/decode", ctc_weight=1.0)  # there is no decoder
    adapter = {"text_size": 32, "scale": 1.0}
    config = configure(asr1, "transfer/mini/unbalanced", postencoder_conf=adapter)
    command = [sys.executable, "-m", "espnet_otreg.stages.transfer_asr_sh", "--lm", str(lm)]
    command += ["--train", f"data/{SETS[0]}", "--valid", f"data/{SETS[1]}", "--"]
    stages = ("--stage", "2", "--stop_stage", "13", "--asr_config", config)
    model = ("--inference_asr_model", "train.total_count.ave.pth")
    assert "Successfully finished" in asr_sh(asr1, *stages, *model, before=command)
    (decoded,) = asr1.glob(f"exp/asr_unbalanced_*/*/{SETS[2]}/text")
    join = LMTokenizer(lm).join
    answers, tokens = read_table(decoded), read_table(decoded.with_name("token"))
    assert answers == {utt: join(row.split()) for utt, row in tokens.items()}
    assert answers != tokens and any(answers.values())
    (results,) = asr1.glob("exp/asr_unbalanced_*/RESULTS.md")
    assert f"/{SETS[2]}|" in results.read_text()

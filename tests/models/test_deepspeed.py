"""A language model that is trained whole, by ESPnet's DeepSpeed trainer, as the recipe has it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_otreg.tasks.asr import ASRTask
from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import token_list
from tests.support.tiny_speech import save_encoder

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs2/covost2_otreg"
CONFIG = RECIPE / "conf/slm/whisper_large_v3_qwen2.5_7b/otreg_trainable.yaml"


def test_the_config_builds_a_model_whose_language_model_trains_whole(tmp_path):
    whisper, qwen2 = save_encoder(tmp_path / "whisper", "whisper"), save_llm(tmp_path / "llm")
    args = ASRTask.get_parser().parse_args([
        "--config", str(CONFIG), "--output_dir", "unused",
        "--encoder_conf", f"model={whisper}", "--decoder_conf", f"model={qwen2}",
    ])  # fmt: skip
    args.token_list = token_list(qwen2)
    model = ASRTask.build_model(args)
    assert all(parameter.requires_grad for parameter in model.decoder.parameters())
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    config = json.loads((RECIPE / args.deepspeed_config).read_text())
    assert args.use_deepspeed and args.keep_nbest_models > 1  # a single best is not written
    steps = args.num_iters_per_epoch * args.max_epoch
    assert config["scheduler"]["params"]["total_num_steps"] == steps


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")
def test_the_config_trains_goes_on_and_leaves_a_checkpoint_of_what_trained(tmp_path):
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.deepspeed_epochs", str(CONFIG), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "epochs: checkpoint_1 checkpoint_2" in said
    assert "epochs: checkpoint_1 checkpoint_2 checkpoint_3" in said
    assert "trained: adapter decoder" in said

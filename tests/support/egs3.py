"""Runs a copy of the recipe for ESPnet3 in a temporary folder, in this process."""

import contextlib
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

ROOT = Path(__file__).parents[2]
NEEDED = ("espnet3", "lightning", "dask", "dask_jobqueue")
LACKING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

SMOKE: dict[str, Any] = {
    "create_dataset": {"mini": "smoke", "nj": 1},
    "tokenizer": {"vocab_size": 90},
    "model": {"max_epoch": 1, "batch_size": 8},
}
TINY: dict[str, Any] = {  # a model whose epoch takes a second
    "model": "otreg",
    "model_conf": {"ctc_weight": 0.3, "report_cer": False, "report_wer": False},
    "frontend_conf": {"n_fft": 256, "hop_length": 256, "n_mels": 20},
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 1,
        "input_layer": "conv2d",
    },
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 24, "num_blocks": 1},
    "batch_type": "sorted",
    "batch_size": 8,
    "max_epoch": 2,
    "grad_clip": 5.0,
    "keep_nbest_models": 2,
    "optim_conf": {"lr": 0.002},
    "scheduler_conf": {"warmup_steps": 2},
}  # fmt: skip


class Recipe(NamedTuple):
    """A copy of the recipe."""

    folder: Path

    def write(self, name: str, defaults: Sequence[Any], own: dict[str, Any]) -> None:
        """Write conf/<name>.yaml, which changes some of what others say."""
        content = {"defaults": [*defaults, "_self_"], **own}
        (self.folder / f"conf/{name}.yaml").write_text(yaml.safe_dump(content))

    def write_tiny(self, name: str, model: dict[str, Any], **own: Any) -> None:
        """Write the configuration of a tiny model; its data are those of the recipe."""
        (self.folder / f"conf/{name}_model.yaml").write_text(yaml.safe_dump({**TINY, **model}))
        path = f"./{name}_model.yaml"  # with a slash it is a path, not a name under model/
        self.write(name, ["common", {"model": path}], {**SMOKE, "model": {}, **own})

    def run(self, training: str, *stages: str, **configs: str) -> Path:
        """Run stages; returns the experiment's folder."""
        from espnet3.systems.launch import launch

        from espnet_otreg.espnet3.system import OTRegSystem

        given = ["--stages", *stages, "--training_config", f"conf/{training}.yaml"]
        for role, name in configs.items():
            given += [f"--{role}_config", f"conf/{name}.yaml"]
        with contextlib.chdir(self.folder):
            launch(OTRegSystem, conf_package="egs3.TEMPLATE.esp2_asr", argv=given)
        return self.folder / "exp" / training


def copy_recipe(folder: Path) -> Recipe:
    """Copy the recipe and the configurations of egs2 that it nests."""
    for part in ("egs3/covost2_otreg/asr", "egs2/TEMPLATE/conf", "egs2/covost2_otreg/conf"):
        made = shutil.ignore_patterns("data", "exp", "downloads", "__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=made, symlinks=True)
    return Recipe(folder / "egs3/covost2_otreg/asr")


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the model of a checkpoint as it is written."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Tell whether two models have the same tensors, bit for bit."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def newest_checkpoint(folder: Path) -> Path:
    """Find the whole state after the last epoch: `last.ckpt` stays where a resumed run began."""
    return max(folder.glob("step*.ckpt"), key=lambda path: int(path.stem.removeprefix("step")))

"""Two epochs of ESPnet's DeepSpeed trainer on a tiny speech language model, without a GPU.

Called by a test as `python -m tests.support.deepspeed_epochs CONFIG.yaml FOLDER`: DeepSpeed takes
over a whole process.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}

import torch
import yaml
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train import deepspeed_trainer as stock

from tests.support.tiny_llm import save_llm
from tests.support.tiny_slm import build, make_batch

config, folder = Path(sys.argv[1]), Path(sys.argv[2])
given = yaml.safe_load(config.read_text(encoding="utf-8"))
recipe = next(path.parent for path in config.parents if path.name == "conf")
lm = save_llm(folder / "llm")


class Batches(AbsIterFactory):
    """Two batches an epoch."""

    def build_iter(self, epoch, shuffle=None):
        """Yield them."""
        return [(list("abcd"), make_batch(lm))] * 2


def model():
    """Build what the config describes, tiny."""
    decoder = {**given["decoder_conf"], "model": str(lm)}
    return build(lm, model_conf=given["model_conf"], decoder_conf=decoder)


def changed(trained):
    """Name the parts of the model that training has changed."""
    before = dict(model().named_parameters())
    moved = {n for n, v in trained.named_parameters() if not torch.equal(v, before[n])}
    return {name.split(".")[0] for name in moved}


for_trainer: Any = torch.Tensor
for_trainer.cuda = lambda self: self  # ESPnet's trainer knows no other device
to_device = stock.to_device
stock.to_device = lambda data, device, dtype: to_device(data, "cpu", dtype)
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/store", rank=0, world_size=1
)
for epochs in (2, 3):  # the second goes on where the first ended
    trained = model()
    options = stock.DeepSpeedTrainerOptions(
        resume=True,
        seed=1,
        train_dtype="float32",
        log_interval=1,
        output_dir=folder,
        max_epoch=epochs,
        deepspeed_config=recipe / given["deepspeed_config"],
        best_model_criterion=given["best_model_criterion"],
        keep_nbest_models=given["keep_nbest_models"],
    )
    stock.DeepSpeedTrainer.run(
        model=trained,
        train_iter_factory=Batches(),
        valid_iter_factory=Batches(),
        trainer_options=options,
    )
    print("epochs:", *sorted(path.name for path in folder.glob("checkpoint_*")))
criterion = ".".join(given["best_model_criterion"][0][:2])
average = torch.load(folder / f"{criterion}.ave.pth", weights_only=True)
model().load_state_dict(average)
assert {"adapter", "decoder"} <= {name.split(".")[0] for name in average}
print("trained:", *sorted(changed(trained)))

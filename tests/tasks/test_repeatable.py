"""The same command twice on one machine gives the same weights, bit for bit."""

import numpy as np
import pytest
import yaml

from espnet_otreg.files import write_lines
from espnet_otreg.pretrained.causal_lm import load_tokenizer
from espnet_otreg.stages import asr_train
from tests.support import tiny_data
from tests.support.tiny_llm import SENTENCES, save_llm
from tests.support.tiny_slm import FEATURES, LANGUAGES, options, token_list
from tests.support.toy_training import weights

# Every part that draws random numbers: batches in another order, masks, dropout, shuffled targets.
OTREG = {
    "model_conf": {"ot_conf": {"weight": 0.3, "control": "shuffled"}},
    "encoder_conf": {"dropout_rate": 0.1},
    "specaug": "specaug",
    "specaug_conf": {"apply_time_mask": True, "time_mask_width_range": [0, 20]},
    "batch_size": 2,
}
SLM = {"model_conf": {"slm_conf": {"freeze": ["decoder"]}, "ot_conf": {"weight": 0.3}}}


@pytest.fixture
def otreg(tmp_path):
    corpus = tiny_data.make_corpus(tmp_path / "corpus")
    return lambda name, seed: tiny_data.train(corpus, tmp_path / name, "--seed", seed, **OTREG)


@pytest.fixture
def slm(tmp_path):
    """Features and sentences for a frozen language model."""
    lm = save_llm(tmp_path / "llm")
    tokenizer = load_tokenizer(lm)
    generator = np.random.default_rng(0)
    rows = {"speech": [], "text": [], "language": [], "shape": []}
    for i, language in enumerate(LANGUAGES):
        frames = generator.standard_normal((40 + 7 * i, FEATURES)).astype(np.float32)
        np.save(tmp_path / f"u{i}.npy", frames)
        rows["speech"].append(f"u{i} {tmp_path}/u{i}.npy")
        rows["text"].append(f"u{i} {' '.join(tokenizer.tokenize(SENTENCES[i]))}")
        rows["language"].append(f"u{i} {' '.join(str(code) for code in language.encode())}")
        rows["shape"].append(f"u{i} {len(frames)},{FEATURES}")
    for name, lines in rows.items():
        write_lines(tmp_path / name, lines)
    write_lines(tmp_path / "tokens.txt", token_list(lm))
    kept = ("optim", "optim_conf", "scheduler", "scheduler_conf", "keep_nbest_models")
    kept += ("best_model_criterion", "num_workers", "use_tensorboard", "use_matplotlib")
    config = {key: value for key, value in options(lm, **SLM).items() if key != "token_list"}
    config |= {key: tiny_data.CONFIG[key] for key in kept}
    config["encoder_conf"] = {**config["encoder_conf"], "dropout_rate": 0.1}
    config |= {"batch_type": "unsorted", "batch_size": 2, "max_epoch": 2, "token_type": "word"}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))

    def train(name, seed):
        words = ["--config", f"{tmp_path}/train.yaml", "--output_dir", f"{tmp_path}/{name}"]
        for use in ("train", "valid"):
            for file, kind in (("speech", "npy"), ("text", "text"), ("language", "text_int")):
                words += [
                    f"--{use}_data_path_and_name_and_type",
                    f"{tmp_path}/{file},{file},{kind}",
                ]
            words += [f"--{use}_shape_file", f"{tmp_path}/shape"]
        words += ["--token_list", f"{tmp_path}/tokens.txt", "--ngpu", "0", "--seed", seed]
        asr_train.main(words)
        return tmp_path / name

    return train


@pytest.mark.parametrize("model", ["otreg", "slm"])
def test_the_same_command_twice_gives_the_same_weights_and_another_seed_others(model, request):
    train = request.getfixturevalue(model)
    first, second, other = (
        weights(train(name, seed)) for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    assert len(first) > 3 and first == second
    assert first["2epoch.pth"] != other["2epoch.pth"]

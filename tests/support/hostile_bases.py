"""Packs whose base models, or what is said of them, try to run code or to lead elsewhere."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.support.hostile_packs import Scene, attack, edit, evil_code, explosive


def add_base(pack: Path, **base: Any) -> None:
    """Name one more base model in otreg.json."""
    facts = json.loads((pack / "otreg.json").read_text())
    row = {"part": "decoder", "name": "yes", "sha256": "00" * 32, "local": False, "folder": None}
    edit(pack / "otreg.json", bases=[*facts["bases"], {**row, **base}])


@attack("slm", "no checkpoint of plain tensors")
def a_base_checkpoint_by_another_name(scene: Scene) -> None:
    explosive(scene.pack / "base" / "encoder" / "weights.bin", scene.mark)
    edit(scene.pack / "config.yaml", encoder_conf__checkpoint="weights.bin")


@attack("slm", "name of a file beside it")
def a_base_checkpoint_outside(scene: Scene) -> None:
    explosive(scene.secret / "x.pth", scene.mark)
    edit(scene.pack / "config.yaml", encoder_conf__checkpoint=str(scene.secret / "x.pth"))


@attack("stock", "otreg.json names")
def a_base_model_that_no_list_names(scene: Scene) -> None:
    base = scene.pack / "base"
    base.mkdir()
    shutil.copy(scene.pack / "config.yaml", base / "config.yaml")
    edit(base / "config.yaml", normalize=None)
    explosive(base / "valid.acc.ave.pth", scene.mark)
    conf = {"experiment": str(base)}
    edit(scene.pack / "config.yaml", encoder="espnet_speech", encoder_conf=conf, input_size=1)


@attack("slm", "pack it again")
def trust_given_by_the_list_of_base_models(scene: Scene) -> None:
    evil_code(scene.pack / "base" / "decoder", scene.mark)
    edit(scene.pack / "config.yaml", postencoder_conf__output_size=32)
    add_base(scene.pack, option="trust_remote_code")


@attack("beam", "pack it again")
def any_option_given_by_the_list_of_base_models(scene: Scene) -> None:
    explosive(scene.secret / "x.pth", scene.mark)
    add_base(scene.pack, part="normalize", option="stats_file", name=str(scene.secret / "x.pth"))


@attack("slm", "encoder is 'espnet_speech'")
def a_base_model_that_stands_on_another(scene: Scene) -> None:
    inner = scene.pack / "base" / "encoder" / "inner"
    shutil.copytree(scene.pack / "base" / "encoder", inner)
    explosive(inner / "valid.acc.ave.pth", scene.mark)
    edit(
        scene.pack / "base" / "encoder" / "config.yaml",
        encoder="espnet_speech",
        encoder_conf={"experiment": str(inner)},
        input_size=1,
    )


@attack("slm", r"trust_remote_code\): read that code, then allow it by")
def trust_given_by_a_base_models_configuration(scene: Scene) -> None:
    folder = scene.pack / "llm"
    shutil.copytree(scene.pack / "base" / "decoder", folder)
    evil_code(folder, scene.mark)
    config = scene.pack / "base" / "encoder" / "config.yaml"
    conf = {"model": str(folder), "trust_remote_code": True}
    edit(config, postencoder=None, decoder="causal_lm", decoder_conf=conf)


@attack("slm", r"trust_remote_code\): read that code, then allow it by")
def trust_given_in_a_list(scene: Scene) -> None:
    config = scene.pack / "config.yaml"
    edit(config, frontend_conf={"frontends": [{"deep": [{"trust_remote_code": True}]}]})


@attack("slm", r"trust_remote_code\): read that code, then allow it by")
def trust_given_in_the_open(scene: Scene) -> None:
    evil_code(scene.pack / "base" / "decoder", scene.mark)
    edit(scene.pack / "config.yaml", decoder_conf__trust_remote_code="yes")


@attack("slm", "from_pretrained.*trust_remote_code=True")
def code_in_a_base_folder(scene: Scene) -> None:
    evil_code(scene.pack / "base" / "decoder", scene.mark)


@attack("slm", r"auto_map\): read that code")
def code_of_the_hub_for_a_tokenizer(scene: Scene) -> None:
    auto = {"AutoTokenizer": ["org/evil--code.Tokenizer", None]}
    path = scene.pack / "base" / "decoder" / "tokenizer_config.json"
    edit(path, auto_map=auto, tokenizer_class="EvilTokenizer")


@attack("slm", "holds a folder, custom_generate")
def code_that_generates(scene: Scene) -> None:
    folder = scene.pack / "base" / "decoder" / "custom_generate"
    folder.mkdir()
    (folder / "generate.py").write_text(f"open({str(scene.mark)!r}, 'w')\n")


@attack("slm", "attn_implementation is 'org/kernel'")
def attention_of_the_hub(scene: Scene) -> None:
    edit(scene.pack / "config.yaml", decoder_conf__attn_implementation="org/kernel")


@attack("slm", "attn_implementation is 'org/kernel'")
def attention_of_the_hub_in_a_base_folder(scene: Scene) -> None:
    path = scene.pack / "base" / "decoder" / "config.json"
    edit(path, _attn_implementation="org/kernel")


@attack("slm", "no file of a plain model")
def an_adapter_on_another_model(scene: Scene) -> None:
    adapter = {"base_model_name_or_path": str(scene.secret), "peft_type": "LORA", "r": 1}
    path = scene.pack / "base" / "decoder" / "adapter_config.json"
    path.write_text(json.dumps(adapter))


@attack("slm", "outside the model's folder")
def shards_of_weights_outside(scene: Scene) -> None:
    base = scene.pack / "base" / "decoder"
    shutil.move(base / "model.safetensors", scene.secret / "model.safetensors")
    edit(scene.pack / "otreg.json", files=[])
    away = os.path.relpath(scene.secret / "model.safetensors", base)
    index = {"metadata": {}, "weight_map": {"lm_head.weight": away}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))


@attack("slm", "outside the model's folder")
def weights_named_outside(scene: Scene) -> None:
    path = scene.pack / "base" / "decoder" / "config.json"
    edit(path, transformers_weights="../../../secret/model.safetensors")


@attack("slm", "asks for further packages")
def a_quantised_model(scene: Scene) -> None:
    path = scene.pack / "base" / "decoder" / "config.json"
    edit(path, quantization_config={"quant_method": "gptq", "bits": 4})


@attack("slm", "cannot be loaded as a causal language model|cannot be opened")
def a_pickle_in_a_base_folder(scene: Scene) -> None:
    base = scene.pack / "base" / "decoder"
    (base / "model.safetensors").unlink()
    edit(scene.pack / "otreg.json", files=[])
    explosive(base / "pytorch_model.bin", scene.mark)


@attack("slm", "lora_conf is 'megatron_config'")
def adapters_that_import_by_name(scene: Scene) -> None:
    (scene.pack / "evil.py").write_text(f"open({str(scene.mark)!r}, 'w')\n")
    lora = {"r": 2, "target_modules": ["q_proj"], "megatron_config": {}, "megatron_core": "evil"}
    edit(scene.pack / "config.yaml", decoder_conf__lora_conf=lora)


@attack("slm", "lora_conf is 'corda_config'")
def adapters_that_start_from_a_file(scene: Scene) -> None:
    explosive(scene.pack / "cache.pt", scene.mark)
    lora = {
        "target_modules": ["q_proj"],
        "init_lora_weights": "corda",
        "corda_config": {"cache_file": str(scene.pack / "cache.pt")},
    }
    edit(scene.pack / "config.yaml", decoder_conf__lora_conf=lora)


@attack("slm", "should be a folder|is outside the pack|lacks")
def a_base_folder_outside(scene: Scene) -> None:
    rows = json.loads((scene.pack / "otreg.json").read_text())["bases"]
    rows[1]["folder"] = os.path.relpath(scene.secret, scene.pack)
    edit(scene.pack / "otreg.json", bases=rows, files=[])


@attack("slm", "no hub name")
def a_base_model_by_a_path_as_its_hub_name(scene: Scene) -> None:
    rows = json.loads((scene.pack / "otreg.json").read_text())["bases"]
    rows[1] |= {"folder": None, "local": False, "name": str(scene.secret)}
    edit(scene.pack / "otreg.json", bases=rows, files=[])


@attack("slm", "a link that leads outside")
def a_link_in_a_base_folder(scene: Scene) -> None:
    path = scene.pack / "base" / "decoder" / "config.json"
    shutil.move(path, scene.secret / "config.json")
    path.symlink_to(scene.secret / "config.json")


@attack("slm", "names files")
def a_base_models_statistics_outside(scene: Scene) -> None:
    conf = {"stats_file": str(scene.secret / "stats.npz")}
    path = scene.pack / "base" / "encoder" / "config.yaml"
    edit(path, normalize="global_mvn", normalize_conf=conf)

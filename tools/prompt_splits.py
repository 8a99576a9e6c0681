"""Draw the splits of the Asterisk prompts, once: they are a table of the package.

    python tools/prompt_splits.py DOWNLOADS > espnet_otreg/corpora/prompts_splits.tsv

DOWNLOADS holds the five languages. Keys whose texts are equal in any language stay together, so
that no text is in two splits and no key in two splits of two languages. Where no text of such a
group has three words it goes to train; all others are drawn by the digest of their first key.
"""

import hashlib
import sys
from collections import defaultdict
from pathlib import Path

from espnet_otreg.corpora import prompts
from espnet_otreg.corpora.trainable import normalise_transcript

DEV, TEST = 0.1, 0.35  # shares of the groups


def main() -> None:
    """Print `key split` lines."""
    root = Path(sys.argv[1])
    group: dict[str, str] = {}  # key -> first key of its group

    def first(key: str) -> str:
        while group.setdefault(key, key) != key:
            key = group[key]
        return key

    longest: dict[str, int] = defaultdict(int)
    for language in prompts.LANGUAGES:
        keys_of: dict[str, str] = {}
        for prompt in prompts.read_prompts(prompts._home(root, language), language)[0]:
            first(prompt.key)
            if prompt.reason:
                continue
            longest[prompt.key] = max(longest[prompt.key], prompts.words_of(prompt.text, language))
            text = normalise_transcript(prompt.text, language)
            one, other = sorted((first(prompt.key), first(keys_of.setdefault(text, prompt.key))))
            group[other] = one
    words: dict[str, int] = defaultdict(int)
    for key in group:
        words[first(key)] = max(words[first(key)], longest[key])
    print("# Splits of the Asterisk prompts by key, in all languages; tools/prompt_splits.py")
    for key in sorted(group):
        print(f"{key}\t{_split(first(key), words[first(key)])}")


def _split(name: str, words: int) -> str:
    if words < prompts.LEAST_WORDS:
        return "train"
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
    return "test" if share < TEST else "dev" if share < TEST + DEV else "train"


if __name__ == "__main__":
    main()

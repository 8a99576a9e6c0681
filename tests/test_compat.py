"""Packages that ESPnet imports and few models need wait until something of them is used."""

import importlib
import sys

import pytest

from espnet_otreg import compat


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A package with a part; a name for each time that one is loaded."""
    loaded = []
    monkeypatch.setattr("builtins.loaded_slowly", loaded, raising=False)
    package = tmp_path / "slow_package"
    package.mkdir()
    (package / "__init__.py").write_text("loaded_slowly.append('whole')\nfrom . import part\n")
    (package / "part.py").write_text("loaded_slowly.append('part')\ndef speak(): return 'hm'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield loaded
    for name in ("slow_package", "slow_package.part"):
        sys.modules.pop(name, None)
        compat._STAND_INS.pop(name, None)


def test_a_package_is_loaded_when_something_of_it_is_used_and_not_before(slow):
    compat.load_later("slow_package", "slow_package.part")
    namespace = {}
    exec("import slow_package.part\nimport slow_package as again", namespace)
    exec("import slow_package.part as part", namespace)
    assert not hasattr(namespace["again"], "__wrapped__") and slow == []
    assert namespace["slow_package"].part.speak() == "hm"
    assert slow == ["whole", "part"]
    assert sys.modules["slow_package"] is not namespace["again"]  # the true one
    exec("from slow_package.part import speak", namespace)
    assert namespace["speak"] is namespace["again"].part.speak
    assert slow == ["whole", "part"]


def test_a_part_may_be_asked_first_and_other_parts_are_found(slow):
    compat.load_later("slow_package")
    namespace = {}
    exec("from slow_package.part import speak", namespace)
    assert namespace["speak"]() == "hm" and slow == ["part"]


def test_what_is_there_already_or_not_at_all_is_left_as_it_is(slow):
    there = importlib.import_module("slow_package")
    compat.load_later("slow_package")
    assert sys.modules["slow_package"] is there
    compat.load_later("no_such_package")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package")


def test_espnets_tokenizers_and_cleaners_still_have_what_they_need():
    pytest.importorskip("tacotron_cleaner")  # which 202611 brings no more
    from espnet2.text.cleaner import TextCleaner

    assert TextCleaner("tacotron")("(Hello-World);  &  jr. & dr.") == (
        "HELLO WORLD, AND JUNIOR AND DOCTOR"
    )

"""Tests of what needs ESPnet3, which came with ESPnet 202611: elsewhere they are skipped."""

import pytest

from tests.support import egs3


class Lacking(pytest.Module):
    """A file of tests that cannot even be imported here."""

    def collect(self):
        raise pytest.skip.Exception(
            f"{', '.join(egs3.LACKING)} not installed: pip install 'espnet[train]>=202611' on "
            "Python 3.12 or newer",
            allow_module_level=True,
        )


def pytest_pycollect_makemodule(module_path, parent):
    """Skip, with the reason, where ESPnet3 is not whole."""
    return Lacking.from_parent(parent, path=module_path) if egs3.LACKING else None


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """A copy of the recipe whose smallest corpora, tokens and shapes are made."""
    copy = egs3.copy_recipe(tmp_path_factory.mktemp("recipe"))
    copy.write("smoke_base", ["training_base"], egs3.SMOKE)
    copy.write("smoke_otreg", ["training_otreg"], egs3.SMOKE)
    copy.run("smoke_otreg", "create_dataset", "train_tokenizer", "collect_stats")
    return copy

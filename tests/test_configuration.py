"""Parts of ESPnet's are called key by key and hold their options in one object."""

import inspect
from dataclasses import dataclass

import pytest

from espnet_otreg.configuration import options_of, read_options
from espnet_otreg.errors import UserError
from espnet_otreg.ot.options import check_options, option, required


@dataclass(frozen=True)
class Conf:
    model: str = required("folder or hub name")
    layers: tuple[int, ...] = option((1,), "which ones", low=1)
    scale: float | None = option(None, "of it")

    def __post_init__(self) -> None:
        check_options(self)


class Part:
    @options_of(Conf, "part_conf")
    def __init__(self, size: int, conf: Conf) -> None:
        self.size, self.conf = size, conf


class Whole:
    @options_of(Conf, "whole_conf", ("encoder", "decoder"))
    def __init__(self, conf: Conf, **parts: int) -> None:
        self.conf, self.parts = conf, parts


def test_options_arrive_as_one_object_however_they_are_given():
    expected = Conf("x", (2, 3), 1.0)
    for part in (Part(7, "x", [2, 3], 1), Part(size=7, scale=1, layers=[2, 3], model="x")):
        assert (part.size, part.conf) == (7, expected)
        assert isinstance(part.conf.scale, float)
    whole = Whole(encoder=1, decoder=2, model="x")
    assert (whole.parts, whole.conf) == ({"encoder": 1, "decoder": 2}, Conf("x"))


def test_the_signature_shows_every_option_with_its_default():
    parameters = inspect.signature(Part).parameters
    assert {name: each.default for name, each in parameters.items()} == {
        "size": inspect.Parameter.empty,
        "model": inspect.Parameter.empty,
        "layers": (1,),
        "scale": None,
    }
    assert list(inspect.signature(Whole).parameters)[:2] == ["encoder", "decoder"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "^part_conf.model must be given: folder or hub name"),
        ({"model": "x", "speed": 1}, "^part_conf has unknown key 'speed'; known keys: model, lay"),
        ({"model": None}, "^part_conf.model: expected text; received None"),
        ({"model": "x", "layers": [0]}, r"^part_conf.layers: expected a list.*received \(0,\)"),
        ({"model": "x", "layers": 2}, "^part_conf.layers: expected a list"),
        ({"model": "x", "scale": "1e-3"}, "^part_conf.scale: .*or null; received '1e-3', which"),
    ],
)
def test_an_option_that_cannot_be_is_told_with_its_section(given, told):
    with pytest.raises(UserError, match=told):
        Part(7, **given)


def test_more_arguments_than_there_are_options_are_refused():
    for args, kwargs in (((7, "x", [1], 1.0, None), {}), ((7, "x"), {"model": "y"})):
        with pytest.raises(TypeError, match="each of size, model, layers, scale at most once"):
            Part(*args, **kwargs)


def test_keys_that_are_no_text_are_told():
    with pytest.raises(UserError, match="unknown key False"):
        read_options(Conf, {"model": "x", False: 1}, "conf")

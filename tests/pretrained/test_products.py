import pytest
import torch
from torch import nn

from espnet_otreg.pretrained import products
from espnet_otreg.pretrained.products import FrozenLinear, speed_up

NEEDS = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"),
    reason="torch without oneDNN",
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(products, "quicker", lambda: True)


def layer(bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(256, 300, bias=bias).requires_grad_(False)


@NEEDS
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_those_of_torch(quick, bias):
    plain, fast = layer(bias), layer(bias)
    assert speed_up(fast) == 1 and fast.state_dict().keys() == plain.state_dict().keys()
    x = torch.linspace(-1, 1, 5 * 40 * 256).view(40, 5, 256).transpose(0, 1)  # not contiguous
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-5, atol=1e-5)


@NEEDS
def test_the_gradient_reaches_what_comes_before(quick):
    grads = []
    for fast in (False, True):
        one = layer()
        if fast:
            speed_up(one)
        x = torch.linspace(-1, 1, 80 * 256).view(80, 256).requires_grad_()
        one(x).square().sum().backward()
        grads.append(x.grad)
        assert one.weight.grad is None
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@NEEDS
def test_what_trains_is_small_or_in_another_precision_is_multiplied_as_ever(quick, monkeypatch):
    one, small = layer(), nn.Linear(8, 8)
    speed_up(nn.ModuleList([one, small]))
    assert type(one) is FrozenLinear and type(small) is nn.Linear
    used = []
    monkeypatch.setattr(products.Product, "apply", lambda *given: used.append(given) or given[0])
    one(torch.ones(products.LEAST_ROWS, 256))
    assert len(used) == 1
    one(torch.ones(products.LEAST_ROWS - 1, 256))
    one.double()(torch.ones(100, 256).double())
    one.float().requires_grad_(True)(torch.ones(100, 256))
    assert len(used) == 1


def test_where_it_is_not_known_to_be_quicker_nothing_changes(monkeypatch, tmp_path):
    for text, expected in (("vendor_id : GenuineIntel", False), ("vendor_id : AuthenticAMD", True)):
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(products, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
        products.quicker.cache_clear()
        has = hasattr(torch.ops.mkldnn, "_linear_pointwise")
        assert products.quicker() == (expected and has)
        one = layer()
        assert speed_up(one) == (expected and has)
    products.quicker.cache_clear()

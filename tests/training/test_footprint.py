import torch
from torch import nn

from neurosearch.training.footprint import peak_bytes

META = torch.device("meta")
KIB = 256  # elements of float32 in one kibibyte


def kib(count):
    return torch.zeros(count * KIB, device=META)


def test_what_is_held_together_counts_together():
    def hold_three():
        first = kib(1)
        second = first + 1
        return first, second, second * 2

    assert peak_bytes(hold_three) == 3 * 1024


def test_what_was_let_go_no_longer_counts():
    def one_after_the_other():
        for _ in range(5):
            kib(2) + 1

    assert peak_bytes(one_after_the_other) <= 3 * 2048


def test_views_and_changes_in_place_cost_nothing():
    def look():
        tensor = kib(4)
        tensor.view(4, KIB)[1:].add_(1)
        return tensor.t()

    assert peak_bytes(look) == 4096


def test_what_was_there_before_is_not_counted():
    tensor = kib(100)
    assert peak_bytes(lambda: tensor.add_(1)) == 0


def test_what_autograd_keeps_for_the_backward_pass_counts():
    with META:
        model = nn.Sequential(*(nn.Sequential(nn.Linear(256, 256), nn.Tanh()) for _ in range(4)))
    batch = torch.zeros(64, 256, device=META)
    one_layer, weights = 64 * 1024, sum(4 * p.numel() for p in model.parameters())
    with torch.no_grad():
        assert peak_bytes(lambda: model(batch)) <= 3 * one_layer
    assert peak_bytes(lambda: model(batch)) >= 4 * one_layer
    assert peak_bytes(lambda: model(batch).sum().backward()) >= weights

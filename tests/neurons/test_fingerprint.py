import pytest
import torch
from torch import nn

from neurosearch.neurons import find_units
from neurosearch.neurons.fingerprint import fingerprint


def key_of(model):
    return fingerprint(dict(model.named_modules()), (torch.zeros(2, 4),))


class Config:
    """A plain object, equal to nothing but itself, that anyone may change."""

    def __init__(self, *, skip):
        self.skip = skip


class Skipping(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        after = torch.tanh(self.second(hidden))
        return self.head(hidden + after if self.config.skip else after)


def names(model):
    return [group.name for group in find_units(model, (torch.zeros(2, 4),)).groups]


def test_a_config_that_changes_in_place_is_another_structure():
    config = Config(skip=False)
    model = Skipping(config)
    assert names(model) == ["first", "second"]
    config.skip = True
    assert names(model) == ["first"]


def test_a_class_whose_code_is_replaced_is_another_structure():
    class Reloaded(Skipping):
        def forward(self, x):
            return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))

    model = Reloaded(None)
    assert names(model) == ["first", "second"]

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.head(hidden + torch.tanh(self.second(hidden)))

    Reloaded.forward = forward
    assert names(model) == ["first"]


def test_a_function_that_holds_other_values_is_another_key():
    def holding(value):
        module = nn.Identity()
        module.function = lambda x: x * value
        return module

    first, second = holding([1]), holding([1])
    key = key_of(first)
    assert key is not None
    assert key_of(first) == key
    assert key_of(second) != key
    first.function.__closure__[0].cell_contents.append(2)
    assert key_of(first) != key


@pytest.mark.parametrize("attribute", ["array", "config"])
def test_a_model_with_an_attribute_that_may_change_in_place_is_traced_and_has_no_key(attribute):
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    model.mean = torch.ones(3).numpy() if attribute == "array" else Config(skip=True)
    assert key_of(model) is None
    assert names(model) == ["0"]

"""Attention as people write it: whole heads go from every tensor at once where the code allows it, and else stay."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from neurosearch.neurons import find_units, grow, importance, prune

WIDTH, DIM = 6, 2


class Attention(nn.Module):
    """A residual trunk with attention; `mix` is what the styles differ in."""

    heads, kv_heads = 3, 3

    def __init__(self):
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = self.heads, self.kv_heads, DIM
        self.embed = nn.Linear(2, WIDTH)
        self.make(self.heads * DIM, self.kv_heads * DIM)
        self.out = nn.Linear(self.heads * DIM, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def make(self, wide, narrow):
        self.q, self.k, self.v = nn.Linear(WIDTH, wide), nn.Linear(WIDTH, narrow), nn.Linear(WIDTH, narrow)

    def forward(self, x):
        x = torch.tanh(self.embed(x))
        return self.head(torch.tanh(x + self.out(self.mix(x))).mean(1))

    def split(self, x, *projections):
        return [p(x).view(*x.shape[:2], -1, self.head_dim).transpose(1, 2) for p in projections]


class Separate(Attention):
    """Three projections, heads by attribute."""

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = (p(x).view(b, n, self.num_heads, self.head_dim).transpose(1, 2) for p in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return mixed.transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim)


class Inferred(Attention):
    """The number of heads follows from the width; softmax by hand."""

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


class Fused(Attention):
    """One projection, `(3, heads, dim)`."""

    def make(self, wide, narrow):
        self.qkv = nn.Linear(WIDTH, wide + 2 * narrow)

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)


class Chunked(Fused):
    """One projection in three chunks."""

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = (t.reshape(b, n, self.num_heads, DIM).permute(0, 2, 1, 3) for t in self.qkv(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).reshape(b, n, -1)


class HeadsOutside(Fused):
    """One projection, `(heads, 3, dim)`, chunked inside each head."""

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).view(b, n, self.num_heads, 3 * self.head_dim).transpose(1, 2).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)


class Batched(Attention):
    """Heads folded into the batch."""

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = (t.reshape(b * self.num_heads, n, DIM) for t in self.split(x, self.q, self.k, self.v))
        mixed = torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), v).view(b, self.num_heads, n, DIM)
        return mixed.permute(0, 2, 1, 3).reshape(b, n, self.num_heads * DIM)


class Summed(Attention):
    """Einstein's sums."""

    def mix(self, x):
        q, k, v = (p(x).unflatten(-1, (self.num_heads, self.head_dim)) for p in (self.q, self.k, self.v))
        weights = (torch.einsum("bihd,bjhd->bhij", q, k) * self.head_dim**-0.5).softmax(-1)
        return torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2)


class TwoAttributes(Attention):
    """The number of heads and the width of all of them, kept apart."""

    def make(self, wide, narrow):
        super().make(wide, narrow)
        self.all_head_size = wide

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        context = (torch.matmul(q, k.transpose(-1, -2)).softmax(-1) @ v).permute(0, 2, 1, 3).contiguous()
        return context.view(*context.size()[:-2], self.all_head_size)


class Cross(Attention):
    """Keys and values of a context with a width of its own."""

    def make(self, wide, narrow):
        self.context = nn.Linear(2, 5)
        self.q, self.k, self.v = nn.Linear(WIDTH, wide), nn.Linear(5, narrow), nn.Linear(5, narrow)

    def forward(self, x):
        context, x = torch.tanh(self.context(x[:, :2])), torch.tanh(self.embed(x))
        q, k, v = self.split(x, self.q)[0], *self.split(context, self.k, self.v)
        return self.head((x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))).mean(1))


class Biased(Fused):
    """A table of position biases and a temperature for each head."""

    def make(self, wide, narrow):
        super().make(wide, narrow)
        self.table = nn.Parameter(torch.randn(5, self.heads))
        self.temperature = nn.Parameter(torch.rand(self.heads, 1, 1) + 0.5)
        self.register_buffer("index", torch.arange(3)[:, None] - torch.arange(3) + 2)

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, DIM).permute(2, 0, 3, 1, 4).unbind(0)
        weights = q @ k.transpose(-2, -1) * self.temperature + self.table[self.index].permute(2, 0, 1)
        return (weights.softmax(-1) @ v).transpose(1, 2).reshape(b, n, self.num_heads * DIM)


class Convolved(Fused):
    """Heads of a convolution's channels."""

    def make(self, wide, narrow):
        self.qkv = nn.Conv1d(WIDTH, wide + 2 * narrow, 1)

    def mix(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x.transpose(1, 2)).view(b, self.num_heads, 3 * DIM, n).split([DIM] * 3, 2)
        mixed = v @ (q.transpose(-2, -1) @ k).softmax(-1).transpose(-2, -1)
        return mixed.view(b, self.num_heads * DIM, n).transpose(1, 2)


class Kernel(Attention):
    """Linear attention: no softmax, keys and values are summed up first."""

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        mixed = q @ (k.transpose(-2, -1) @ v) / (q * k.sum(-2, keepdim=True)).sum(-1, keepdim=True)
        return mixed.transpose(1, 2).flatten(2)


class Shared(Attention):
    """Three key heads, each of which serves two query heads."""

    heads, kv_heads = 6, 3

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        k, v = (t.repeat_interleave(self.num_heads // self.num_kv_heads, 1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class SharedInside(Shared):
    """PyTorch repeats the key heads by itself."""

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)


class SharedExpanded(Shared):
    """Key heads repeated by expanding them."""

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        k, v = (t[:, :, None].expand(-1, -1, 2, -1, -1).flatten(1, 2) for t in (k, v))
        return (torch.softmax(q @ k.transpose(2, 3), -1) @ v).transpose(1, 2).flatten(2)


class SharedGrouped(Shared):
    """Queries viewed by the key head that serves them."""

    def mix(self, x):
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.num_kv_heads, 2, DIM)
        k, v = (p(x).view(b, n, self.num_kv_heads, DIM) for p in (self.k, self.v))
        weights = torch.einsum("bikgd,bjkd->bkgij", q, k).softmax(-1)
        return torch.einsum("bkgij,bjkd->bikgd", weights, v).reshape(b, n, -1)


class SharedFused(Shared):
    """One projection in parts of unequal length."""

    def make(self, wide, narrow):
        self.qkv = nn.Linear(WIDTH, wide + 2 * narrow)
        self.q_size, self.kv_size = wide, narrow

    def mix(self, x):
        parts = self.qkv(x).split([self.q_size, self.kv_size, self.kv_size], -1)
        q, k, v = (t.unflatten(-1, (-1, DIM)).transpose(1, 2) for t in parts)
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)


class OneKey(Attention):
    """One key head for all query heads."""

    kv_heads = 1

    def mix(self, x):
        q, k, v = self.split(x, self.q, self.k, self.v)
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2)


STYLES = {style.__name__: style for style in (*Attention.__subclasses__(), *Fused.__subclasses__())}
SHARED = {style.__name__: style for style in (Shared, *Shared.__subclasses__())}


def built(style):
    torch.manual_seed(0)
    return style().double(), torch.randn(4, 3, 2, dtype=torch.float64)


@pytest.mark.parametrize("name", [*STYLES, *list(SHARED)[1:]])
def test_heads_go_as_a_whole_and_everywhere_at_once(name, exact):
    model, inputs = built((STYLES | SHARED)[name])
    units = find_units(model, (inputs,))
    (group,) = [one for one in units.groups if one.name in {"q", "qkv"}]
    assert group.size == 3
    pruned = exact(model, inputs, group.name, [1])
    factor = pruned.out.in_features // DIM // 2
    assert pruned.out.in_features == 2 * DIM * factor
    read = {one.attribute for one in units.layout.bindings}
    assert pruned.num_heads == (2 * factor if "num_heads" in read else model.num_heads)
    assert pruned.head_dim == DIM


@pytest.mark.parametrize("name", list(SHARED))
def test_a_key_head_goes_with_the_query_heads_that_it_serves(name):
    model, inputs = built(SHARED[name])
    units = find_units(model, (inputs,))
    (group,) = [one for one in units.groups if one.name in {"q", "qkv"}]
    assert {part.dimension for part in units.layout.slices[units.layout.index[group.name]]} == {0, 1}
    scores = importance(model, units, [(inputs, torch.tensor([0, 1, 2, 0]))], kind="taylor")
    assert scores[group.name].shape == (3,)


class SharedByAttribute(Attention):
    """Heads of queries and keys by two attributes; the larger number is the width of nothing."""

    heads, kv_heads = 12, 3

    def mix(self, x):
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.num_heads, self.head_dim).transpose(1, 2)
        k, v = (p(x).view(b, n, self.num_kv_heads, self.head_dim).transpose(1, 2) for p in (self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).reshape(b, n, -1)


def test_the_number_of_query_heads_follows_that_of_the_key_heads_that_serve_them(exact):
    model, inputs = built(SharedByAttribute)
    pruned = exact(model, inputs, "q", [1])
    assert (pruned.num_heads, pruned.num_kv_heads, pruned.head_dim) == (8, 2, DIM)


def test_a_single_key_head_stays(exact):
    model, inputs = built(OneKey)
    pruned = exact(model, inputs, "q", [0])
    assert (pruned.q.out_features, pruned.k.out_features, pruned.v.out_features) == (4, 2, 2)


class InputWidth(Fused):
    """The width of heads computed from that of the input, as in torchvision's Swin and in many vision transformers."""

    def mix(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)


class BuiltIn(Attention):
    """PyTorch's own module."""

    def __init__(self, context=None):
        super().__init__()
        self.context = nn.Linear(2, context or WIDTH)
        self.own = nn.MultiheadAttention(WIDTH, 3, kdim=context, vdim=context, batch_first=True)
        self.up, self.down = nn.Linear(WIDTH, 7), nn.Linear(7, WIDTH)

    def forward(self, x):
        context, x = torch.tanh(self.context(x)), torch.tanh(self.embed(x))
        x = x + self.own(x, context, context)[0]
        return self.head((x + self.down(torch.tanh(self.up(x)))).mean(1))


def test_heads_whose_width_is_computed_from_the_input_stay_and_the_reason_names_the_module():
    model, inputs = built(InputWidth)
    units = find_units(model, (inputs,))
    assert units.groups == ()
    reasons = {one.reason for one in units.frozen if one.tensor == "out.weight"}
    assert all("(InputWidth) fails at another width: " in reason for reason in reasons)


def test_pytorchs_attention_keeps_its_heads_and_leaves_the_rest_dynamic(exact):
    model, inputs = built(BuiltIn)
    units = find_units(model, (inputs,))
    assert [group.name for group in units.groups] == ["up"]
    reasons = [one.reason for one in units.frozen if one.tensor == "own.in_proj_weight"]
    assert len(reasons) == 2
    assert all(
        r"own (MultiheadAttention) computes the width of its heads from that of its input" in reason
        and "heads can go where code reshapes its projections to (..., -1, head_dim)" in reason
        for reason in reasons
    )
    exact(model, inputs, "up", [0, 3])


def test_pytorchs_attention_lets_a_context_of_another_width_change(exact):
    model, inputs = built(lambda: BuiltIn(context=5))
    pruned = exact(model, inputs, "context", [2])
    assert (pruned.own.kdim, pruned.own.vdim, pruned.own.embed_dim) == (4, 4, WIDTH)


def test_at_least_two_heads_stay():
    model, inputs = built(Separate)
    units = find_units(model, (inputs,))
    with pytest.raises(ValueError, match="group q: removing 2 of 3 units leaves fewer than 2"):
        prune(units, {"q": [0, 1]})
    assert grow(units, {"q": 1}).units_after(units).sizes[units.layout.index["q"]] == 4

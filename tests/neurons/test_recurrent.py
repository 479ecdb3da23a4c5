"""Recurrent layers of every make: the hidden width of all layers and both directions is one group."""

import itertools

import pytest
import torch
from torch import nn

from neurosearch.neurons import SurgeryError, apply_plan, find_units, grow, prune


class Recurrent(nn.Module):
    """Reads a sequence; the head sees the last output or the last hidden states."""

    def __init__(self, kind, *, reads_hidden=False, **options):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.rnn = kind(4, 5, **options)
        self.reads_hidden = reads_hidden
        self.head = nn.Linear((self.rnn.proj_size or 5) * (1 + self.rnn.bidirectional), 3)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        outputs, hidden = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))
        if self.reads_hidden:
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            ends = hidden.unflatten(0, (self.rnn.num_layers, -1))[-1]
            return self.head(ends.transpose(0, 1).flatten(1))
        return self.head(outputs[:, -1] if self.rnn.batch_first else outputs[-1])


def inputs_of(num_steps=4):
    return torch.randn(3, num_steps, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


LAYOUTS = list(itertools.product((1, 3), (False, True), (False, True)))


@pytest.mark.parametrize("reads_hidden", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize(("num_layers", "bidirectional", "batch_first"), LAYOUTS)
def test_hidden_units_go_from_all_layers_and_directions(
    kind, num_layers, bidirectional, batch_first, reads_hidden, exact
):
    torch.manual_seed(0)
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "batch_first": batch_first}
    model = Recurrent(kind, reads_hidden=reads_hidden, **options).double()
    units = find_units(model, (inputs_of(),))
    assert {group.name: group.size for group in units.groups} == {"first": 4, "rnn": 5}
    pruned = exact(model, inputs_of(), "rnn", [0, 3])
    assert pruned.rnn.hidden_size == 3
    assert exact(model, inputs_of(), "first", [1]).rnn.input_size == 3


@pytest.mark.parametrize(("num_layers", "bidirectional", "batch_first"), LAYOUTS)
def test_a_projected_lstm_keeps_more_hidden_units_than_projected_ones(num_layers, bidirectional, batch_first, exact):
    torch.manual_seed(0)
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "batch_first": batch_first}
    model = Recurrent(nn.LSTM, proj_size=3, **options).double()
    units = find_units(model, (inputs_of(),))
    assert {group.name: (group.size, group.minimum) for group in units.groups} == {"first": (4, 1), "rnn": (5, 4)}
    assert any(
        one.tensor == "rnn.weight_hr_l0" and "rnn (LSTM)" in one.reason and "proj_size stays" in one.reason
        for one in units.frozen
    )
    pruned = exact(model, inputs_of(), "rnn", [2])
    assert (pruned.rnn.hidden_size, pruned.rnn.proj_size) == (4, 3)
    with pytest.raises(SurgeryError, match="removing 2 of 5 units leaves fewer than 4"):
        prune(units, {"rnn": [0, 1]})


def test_dropout_between_layers_and_missing_biases_change_nothing(exact):
    torch.manual_seed(0)
    model = Recurrent(nn.GRU, num_layers=2, bias=False, batch_first=True).double()
    exact(model, inputs_of(), "rnn", [4])
    model.rnn.dropout = 0.5
    assert find_units(model, (inputs_of(),)).sizes == (4, 5)


class Stepped(nn.Module):
    """A cell in a loop of the network's own."""

    def __init__(self, kind, *, makes_state):
        super().__init__()
        self.cell, self.head = kind(2, 5), nn.Linear(5, 3)
        self.size, self.makes_state = 5, makes_state

    def forward(self, x):
        state = None
        if self.makes_state:
            state = x.new_zeros(x.shape[0], self.size)
            state = (state, torch.zeros_like(state)) if isinstance(self.cell, nn.LSTMCell) else state
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("makes_state", [False, True])
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_in_a_loop(kind, makes_state, exact):
    torch.manual_seed(0)
    pruned = exact(Stepped(kind, makes_state=makes_state).double(), inputs_of(), "cell", [1, 2])
    assert pruned.cell.hidden_size == 3
    assert pruned.size == (3 if makes_state else 5)


class Translator(nn.Module):
    """A decoder that starts from an encoder's state."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(2, 5, batch_first=True)
        self.decoder = nn.LSTM(2, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        _, state = self.encoder(x)
        return self.head(self.decoder(x, state)[0][:, -1])


def test_an_encoder_and_a_decoder_that_share_a_state_change_together(exact):
    torch.manual_seed(0)
    pruned = exact(Translator().double(), inputs_of(), "encoder", [0])
    assert (pruned.encoder.hidden_size, pruned.decoder.hidden_size) == (4, 4)


class Packed(nn.Module):
    """Sequences of several lengths."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 5, batch_first=True, bidirectional=True), nn.Linear(10, 3)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 3, 2]), batch_first=True)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.head(outputs.mean(1))


def test_packed_sequences(exact):
    torch.manual_seed(0)
    assert exact(Packed().double(), inputs_of(), "rnn", [1, 4]).rnn.hidden_size == 3


def test_a_learnt_first_state_goes_with_its_units():
    class Started(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 5, 2, batch_first=True), nn.Linear(5, 3)
            self.start = nn.Parameter(torch.randn(2, 1, 5))

        def forward(self, x):
            return self.head(self.rnn(x, self.start.expand(-1, x.shape[0], -1).contiguous())[0].mean(1))

    torch.manual_seed(0)
    model = Started().double()
    units = find_units(model, (inputs_of(),))
    for weight in (model.rnn.weight_hh_l0, model.rnn.weight_hh_l1, model.rnn.weight_ih_l1, model.head.weight):
        weight.data[:, 2] = 0
    expected = model(inputs_of()).detach()
    apply_plan(prune(units, {"rnn": [2]}), model)
    assert model.start.shape == (2, 1, 4)
    assert (model(inputs_of()) - expected).abs().max() < 1e-12
    with pytest.raises(SurgeryError, match="rnn cannot grow"):
        grow(units, {"rnn": 1})

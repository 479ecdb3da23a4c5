from dataclasses import replace

import pytest
import torch
from torch import nn

from neurosearch import names
from neurosearch.growth import (
    Clock,
    Event,
    EventsPolicy,
    EventsSettings,
    MaskPolicy,
    MaskSettings,
    NimblePolicy,
    NimbleSettings,
    PeriodicPolicy,
    PeriodicSettings,
    RecyclePolicy,
    RecycleSettings,
    Snapshot,
    StaticPolicy,
    WideThenPrunePolicy,
    WideThenPruneSettings,
)
from neurosearch.neurons import apply_plan, find_units, fold_gates, gradmax_directions, near_duplicates

EPOCHS, STEPS_PER_EPOCH = 8, 3
PERIODIC = PeriodicSettings(4, 2, 0.5, "all", 0.8, "zero_outgoing", "l2", 0.25, 0.1, 0.0, 0.0)
#: Up, up, by less than a neuron, below the base size, and back; at every width with what must be rounded.
EVENTS = EventsSettings(
    tuple(Event(*each) for each in ((0, 0.3), (1, 0.9), (2, 0.91), (4, -0.45), (6, 0.0))),
    "zero_outgoing",
    "l2",
    0.25,
    0.1,
    0.0,
)
RECYCLE = RecycleSettings(2, "activation", 0.5, 0.5, 0.8, "zero_outgoing", 0.1)
NIMBLE = NimbleSettings(1.0, 0.5, 0.7, 1.5, 1.0, "share", True, 0.5, "each", 0.4, 2)
MASK = MaskSettings(1.0, 0.0, True, 0.5, "all", 0.1)
POLICIES = {
    "static": StaticPolicy,
    "periodic": lambda: PeriodicPolicy(PERIODIC),
    "periodic_gradmax": lambda: PeriodicPolicy(replace(PERIODIC, start="gradmax")),
    "periodic_merging": lambda: PeriodicPolicy(replace(PERIODIC, merge_threshold=0.3)),
    "periodic_tail_demand": lambda: PeriodicPolicy(replace(PERIODIC, groups="tail_demand")),
    "periodic_tail_demand_gradmax": lambda: PeriodicPolicy(replace(PERIODIC, groups="tail_demand", start="gradmax")),
    "recycle": lambda: RecyclePolicy(RECYCLE),
    "recycle_pairs": lambda: RecyclePolicy(replace(RECYCLE, start="symmetric_pair", largest_share=1.0)),
    "wide_then_prune": lambda: WideThenPrunePolicy(WideThenPruneSettings(0.5, 0.7, "l2", 0.25, 0.0)),
    "events": lambda: EventsPolicy(EVENTS),
    "events_gradmax": lambda: EventsPolicy(replace(EVENTS, start="gradmax")),
    "nimble": lambda: NimblePolicy(NIMBLE),
    "mask": lambda: MaskPolicy(MASK),
}


@pytest.fixture(params=POLICIES)
def make(request):
    return POLICIES[request.param]


class Simulation:
    """Walks a policy through a training whose network learns nothing; sizes move by the size loss alone."""

    def __init__(self, policy):
        torch.manual_seed(0)
        self.policy = policy
        self.model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)).double()
        self.units = find_units(self.model, (torch.zeros(2, 3, dtype=torch.float64),))
        self.base = {group.name: group.size for group in self.units.groups}
        policy.attach(self.units, torch.device("cpu"), torch.float64, torch.Generator().manual_seed(0))
        self.optimizer = torch.optim.SGD([{"params": self.model.parameters(), "lr": 0.0}])
        if policy.trained():
            self.optimizer.add_param_group({"params": policy.trained(), **policy.optimizer_settings()})
        self.plans = []

    def snapshot(self, clock, need):
        scores = {group.name: torch.arange(group.size, 0, -1.0) for group in self.units.groups}
        generator = torch.Generator().manual_seed(clock.step)
        return Snapshot(
            clock,
            self.units,
            self.base,
            scores if need.scores else None,
            scores if need.head_scores else None,
            None if need.directions is None else self.directions(need.directions),
            generator,
            {group.name: 1 / (2 + place) for place, group in enumerate(self.units.groups)} if need.demand else None,
            twins=near_duplicates(self.model, self.units, need.twins) if need.twins else None,
        )

    def directions(self, counts):
        batch = (torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 0]))
        return gradmax_directions(self.model, self.units, [batch], counts)

    def apply(self, decisions):
        for decision in decisions:
            if decision.fold is not None:
                fold_gates(self.model, self.units, decision.fold)
            self.plans.append(decision.plan.to_json())
            self.units = apply_plan(decision.plan, self.model, self.optimizer)

    def step(self, step):
        loss = self.policy.size_loss()
        if step and loss is not None:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        del loss
        clock = Clock(step, step // STEPS_PER_EPOCH, STEPS_PER_EPOCH, EPOCHS)
        need = self.policy.due(clock)
        if need is not None:
            self.apply(self.policy.decide(self.snapshot(clock, need)))

    def run(self, start=0, stop=EPOCHS * STEPS_PER_EPOCH):
        for step in range(start, stop + 1):
            self.step(step)

    def finish(self):
        need = self.policy.finish_need()
        if need is not None:
            steps = EPOCHS * STEPS_PER_EPOCH
            self.apply(self.policy.finish(self.snapshot(Clock(steps, EPOCHS, STEPS_PER_EPOCH, EPOCHS), need)))

    @property
    def sizes(self):
        return {group.name: group.size for group in self.units.groups}


class TestEveryPolicy:
    def test_ends_with_a_network_that_runs_and_has_its_stated_sizes(self, make):
        simulation = Simulation(make())
        simulation.run()
        simulation.finish()
        assert simulation.model(torch.zeros(2, 3, dtype=torch.float64)).shape == (2, 2)
        assert [simulation.model[0].out_features, simulation.model[2].out_features] == list(simulation.sizes.values())

    def test_is_at_rest_at_the_end(self, make):
        simulation = Simulation(make())
        simulation.run()
        assert simulation.policy.at_rest(simulation.units, simulation.base)

    def test_decides_the_same_again(self, make):
        first, second = Simulation(make()), Simulation(make())
        first.run()
        second.run()
        assert first.plans == second.plans

    def test_goes_on_from_its_state_as_if_never_interrupted(self, make):
        whole, stopped = Simulation(make()), Simulation(make())
        whole.run()
        stopped.run(stop=7)
        policy = make()
        policy.attach(Simulation(make()).units, torch.device("cpu"), torch.float64, torch.Generator().manual_seed(0))
        policy.load_state_dict(stopped.policy.state_dict())
        resumed = Simulation(make())
        resumed.policy, resumed.units, resumed.model = policy, stopped.units, stopped.model
        resumed.optimizer = torch.optim.SGD([{"params": stopped.model.parameters(), "lr": 0.0}])
        if policy.trained():
            resumed.optimizer.add_param_group({"params": policy.trained(), **policy.optimizer_settings()})
        resumed.run(start=8)
        assert stopped.plans + resumed.plans == whole.plans

    def test_gates_have_the_sizes_of_the_groups(self, make):
        simulation = Simulation(make())
        simulation.run(stop=4)
        gates = simulation.policy.gates(simulation.units)
        assert {name: len(gate) for name, gate in gates.items()} in ({}, simulation.sizes)

    def test_state_holds_plain_values(self, make):
        simulation = Simulation(make())
        simulation.run()
        allowed = (int, float, str, list, dict, torch.Tensor)
        assert all(isinstance(value, allowed) for value in simulation.policy.state_dict().values())


def test_static_never_changes_anything():
    simulation = Simulation(StaticPolicy())
    simulation.run()
    simulation.finish()
    assert simulation.plans == []


@pytest.mark.parametrize("kind", [name for name in POLICIES if not name.startswith(("nimble", "mask", "static"))])
def test_what_is_added_is_removed_and_counted(kind):
    simulation = Simulation(POLICIES[kind]())
    decided = simulation.policy.decide
    decisions = []
    simulation.policy.decide = lambda snapshot: decisions.extend(found := decided(snapshot)) or found
    simulation.run()
    changes = [change for decision in decisions for change in decision.plan.changes]
    assert sum(change.added for change in changes) == sum(len(change.removed) for change in changes) > 0
    assert simulation.sizes == simulation.base
    kept = [decision.counts.get(names.NEWCOMERS_KEPT) for decision in decisions]
    if kind.startswith(("periodic", "wide")):
        assert kept[1::2] == [0.0] * (len(decisions) // 2)  # scores fall with the position, so no newcomer stays
        assert kept[0::2] == [None] * (len(decisions) // 2)


def test_dormant_neurons_are_replaced_at_once_and_the_size_never_moves():
    simulation = Simulation(RecyclePolicy(RECYCLE))
    sizes, step_plans = set(), []
    decided = simulation.policy.decide
    simulation.policy.decide = lambda snapshot: step_plans.extend(found := decided(snapshot)) or found
    for step in range(EPOCHS * STEPS_PER_EPOCH + 1):
        simulation.step(step)
        sizes.add(tuple(simulation.sizes.values()))
        assert simulation.policy.at_rest(simulation.units, simulation.base)
    assert sizes == {(8, 6)}
    # Scores 8, 7, ..., 1 have the mean 4.5, so the last two lie below half of it; of 6, ..., 1 the last one.
    found = [(c.group, c.removed, c.added) for c in step_plans[0].plan.changes]
    assert found == [("0", (6, 7), 0), ("2", (5,), 0), ("0", (), 2), ("2", (), 1)]
    assert [decision.counts for decision in step_plans] == [{names.DEAD_NEURONS: 3.0}] * 3


@pytest.mark.parametrize(("start", "removed"), [("zero_outgoing", [(7,), (5,)]), ("symmetric_pair", [(6, 7)])])
def test_a_share_of_less_than_a_neuron_recycles_one_or_a_pair(start, removed):
    simulation = Simulation(RecyclePolicy(replace(RECYCLE, start=start, largest_share=0.1)))
    clock = Clock(2 * STEPS_PER_EPOCH, 2, STEPS_PER_EPOCH, EPOCHS)
    [decision] = simulation.policy.decide(simulation.snapshot(clock, simulation.policy.due(clock)))
    assert [change.removed for change in decision.plan.changes if change.removed] == removed


def test_events_lead_to_the_sizes_they_name():
    simulation = Simulation(EventsPolicy(EVENTS))
    seen = {}
    for step in range(EPOCHS * STEPS_PER_EPOCH + 1):
        simulation.step(step)
        seen[step // STEPS_PER_EPOCH] = tuple(simulation.sizes.values())
    at = [seen[epoch] for epoch in range(EPOCHS)]
    assert at == [(10, 8), (15, 11), (15, 11), (15, 11), (4, 3), (4, 3), (8, 6), (8, 6)]


def test_cycles_written_as_events_make_the_same_plans():
    events = tuple(Event(*each) for each in ((0, 0.5), (2, 0.0), (4, 0.5), (6, 0.0)))
    cycles, written = (
        Simulation(PeriodicPolicy(PERIODIC)),
        Simulation(EventsPolicy(EventsSettings(events, PERIODIC.start, PERIODIC.importance, 0.25, 0.1, 0.0))),
    )
    cycles.run()
    written.run()
    assert written.plans == cycles.plans != []


def test_a_clock_knows_the_ends_of_epochs():
    assert [Clock(step, step // 3, 3, 2).epoch_ended for step in range(7)] == [True, False, False] * 2 + [True]

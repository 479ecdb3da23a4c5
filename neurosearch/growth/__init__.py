"""Growth policies: who decides which neurons come and go, and when.

In: a frozen `Snapshot` (clock, sizes, scores). Out: `Decision`s (a plan and its reason), or a trained size with gates
and a size loss. Policies only decide; the trainer lets `neurons` change the network. Seven of them: `StaticPolicy` (the
control), `PeriodicPolicy` (cycles that end at the configured size), `EventsPolicy` (the same, event by event),
`RecyclePolicy` (dormant neurons begin anew, at constant size), `WideThenPrunePolicy` (wide from the start, pruned
once), `NimblePolicy` (the size is trained) and `MaskPolicy` (the published code's gain on a whole layer, for
reproduction).

Beside them `published`: the networks of the paper, many at once, as pure functions.
"""

from neurosearch.growth.events import Event, EventsPolicy, EventsSettings
from neurosearch.growth.mask import MaskPolicy, MaskSettings
from neurosearch.growth.nimble import NimblePolicy, NimbleSettings
from neurosearch.growth.periodic import PeriodicPolicy, PeriodicSettings
from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.growth.recycle import RecyclePolicy, RecycleSettings
from neurosearch.growth.static import StaticPolicy
from neurosearch.growth.wide_then_prune import WideThenPrunePolicy, WideThenPruneSettings

__all__ = [
    "Clock",
    "Decision",
    "Event",
    "EventsPolicy",
    "EventsSettings",
    "MaskPolicy",
    "MaskSettings",
    "Need",
    "NimblePolicy",
    "NimbleSettings",
    "PeriodicPolicy",
    "PeriodicSettings",
    "RecyclePolicy",
    "RecycleSettings",
    "Snapshot",
    "StaticPolicy",
    "WideThenPrunePolicy",
    "WideThenPruneSettings",
]

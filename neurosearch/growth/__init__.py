"""Growth policies: who decides which neurons come and go, and when.

In: a frozen `Snapshot` (clock, sizes, scores). Out: `Decision`s (a plan and its reason), or a trained size with gates
and a size loss. Policies only decide; the trainer lets `neurons` change the network. Three of them: `StaticPolicy` (the
control), `PeriodicPolicy` (cycles that end at the configured size) and `NimblePolicy` (the size is trained).
"""

from neurosearch.growth.nimble import NimblePolicy, NimbleSettings
from neurosearch.growth.periodic import PeriodicPolicy, PeriodicSettings
from neurosearch.growth.policy import Clock, Decision, Need, Snapshot
from neurosearch.growth.static import StaticPolicy

__all__ = [
    "Clock",
    "Decision",
    "Need",
    "NimblePolicy",
    "NimbleSettings",
    "PeriodicPolicy",
    "PeriodicSettings",
    "Snapshot",
    "StaticPolicy",
]

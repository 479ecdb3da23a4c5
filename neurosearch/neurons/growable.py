"""Which groups can take new units without a change of what the network computes, and why others cannot."""

from typing import NamedTuple

from neurosearch.neurons.errors import SurgeryError
from neurosearch.neurons.labels import Obstacle
from neurosearch.neurons.units import GroupFacts, Units

#: What keeps a group's units from being plainly made and plainly used.
NOT_PLAIN: dict[Obstacle, str] = {
    Obstacle.MIXED: "its units meet each other with no weight in between ({words})",
    Obstacle.DERIVED: "its weight is not used as it is stored, but computed from parameters ({words})",
    Obstacle.TIED: "one tensor does two things for its units, such as making and using them ({words})",
    Obstacle.NO_INCOMING: "no weight makes its units",
}
_REFUSED: dict[Obstacle, str] = {
    Obstacle.NORMALISED: "a mean or variance is taken over its units ({words}), so new ones change the others",
    **NOT_PLAIN,
    Obstacle.NO_OUTGOING: "no weight uses its units, so nothing could keep the new ones silent",
}
_REFUSED_AT_ZERO: dict[Obstacle, str] = {
    Obstacle.MOVES_ZERO: "an operation on its units does not map 0 to 0 ({words})",
    Obstacle.DEAD_AT_ZERO: "an operation on its units has no slope at 0 ({words}), so they would never learn",
}
_REMEDIES: dict[Obstacle, str] = {
    Obstacle.NORMALISED: " Pass allow_inexact=True if that is wanted.",
    Obstacle.MOVES_ZERO: " Use zero_outgoing.",
    Obstacle.DEAD_AT_ZERO: " Use zero_outgoing.",
}


class _Refusal(NamedTuple):
    """Why a group cannot grow, and what to do instead."""

    words: str
    remedy: str


def growth_refusals(units: Units, start: str = "zero_outgoing") -> dict[str, str]:
    """Return the groups that cannot grow exactly, by name, and why in words; a policy leaves them at their size.

    Whether `gradmax` fits the layers around a group is not known before it was tried: of its own it refuses nothing.
    """
    found = {facts.name: _refusal(facts, start, allow_inexact=False) for facts in units.layout.groups}
    return {name: why.words for name, why in found.items() if why is not None}


def check_start(facts: GroupFacts, count: int, start: str, *, allow_inexact: bool) -> None:
    """Refuse a group that new units cannot join in this way.

    Raises:
        SurgeryError: With the reason.
    """
    why = _refusal(facts, start, allow_inexact=allow_inexact)
    if why is not None:
        raise SurgeryError(f"group {facts.name} cannot grow with {start}: {why.words}.{why.remedy}")
    if start == "symmetric_pair" and count % 2:
        raise SurgeryError(f"group {facts.name}: {count} new units cannot come in pairs. Ask for an even number.")


def _refusal(facts: GroupFacts, start: str, *, allow_inexact: bool) -> _Refusal | None:
    refused = _REFUSED | (_REFUSED_AT_ZERO if start == "zero_incoming" else {})
    for obstacle, why in refused.items():
        if obstacle in facts.obstacles and not (allow_inexact and obstacle == Obstacle.NORMALISED):
            return _Refusal(why.format(words=facts.obstacles[obstacle]), _REMEDIES.get(obstacle, ""))
    return None

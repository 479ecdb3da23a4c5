import json
from pathlib import Path

from neurosearch.search.folders import StudyFolder
from neurosearch.search.lease import Lease, LeasedTrial
from neurosearch.search.room import Room


def test_a_lease_survives_the_way_through_json():
    trials = (
        LeasedTrial(1, "search", {"seed": 1, "model": {"widths": [1, 2]}}, (1, 7), (1e6, 3e6)),
        LeasedTrial(2, "control", {}, (5,), ()),
    )
    lease = Lease(StudyFolder(Path("/runs"), "moons"), trials, Room(0.25), 600.0)
    assert Lease.from_dict(json.loads(json.dumps(lease.to_dict()))) == lease

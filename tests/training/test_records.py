import json

from hypothesis import given
from hypothesis import strategies as st

from neurosearch.training.records import EpochRecord, GrowthEvent, TrialFailed

numbers = st.integers(0, 10**6)
events = st.builds(GrowthEvent, numbers, numbers, st.text(), numbers, numbers, st.text())
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    EpochRecord,
    numbers,
    numbers,
    st.dictionaries(st.text(), finite, max_size=4),
    st.lists(events, max_size=3).map(tuple),
    st.booleans(),
)


@given(records)
def test_a_record_survives_json(record):
    assert EpochRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_a_failure_carries_its_reason():
    assert TrialFailed("the loss became nan").reason == "the loss became nan"

import json

import pytest

from neurosearch.search.data_cache import opened_data
from neurosearch.search.room import Room, UsualRooms, larger_room, least_gpus, room_words
from neurosearch.search.seams import TrialInfo

GIB = 2**30


@pytest.mark.parametrize(("gpus", "larger"), [(0.125, 0.25), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0)])
def test_a_share_of_a_gpu_is_doubled_up_to_the_whole(gpus, larger):
    assert larger_room(Room(gpus), concurrency=4) == Room(larger)


@pytest.mark.parametrize("gpus", [1.0, 2.0])
def test_a_trial_with_whole_gpus_has_no_larger_room(gpus):
    assert larger_room(Room(gpus), concurrency=4) is None


def test_on_the_cpu_a_trial_gets_the_machine_for_itself_once():
    alone = larger_room(Room(0.0), concurrency=2)
    assert alone == Room(0.0, alone=True)
    assert larger_room(alone, concurrency=2) is None


def test_where_trials_run_one_after_the_other_each_is_alone_already():
    assert larger_room(Room(0.0), concurrency=1) is None


@pytest.mark.parametrize("room", [Room(0.25), Room(0.0, alone=True), Room(0.5, memory=GIB)])
def test_a_room_survives_json(room):
    assert Room.from_dict(json.loads(json.dumps(room.to_dict()))) == room


def test_rooms_in_words():
    assert room_words(Room(0.5)) == "with 0.5 of a GPU"
    assert room_words(Room(2.0)) == "with 2 GPUs"
    assert room_words(Room(0.0, alone=True)) == "with no other trial beside it"


def trial(width):
    config = {"data": {"kind": "digits"}, "model": {"kind": "mlp", "widths": [width]}, "training": {"epochs": 1}}
    return TrialInfo(0, "search", {**config, "growth": {"kind": "static"}}, {}, (0,), {}, None)


def test_a_number_is_every_trial_s_room():
    def unasked(*_):
        raise AssertionError("neither data nor a GPU is looked at")

    assert UsualRooms(0.25, unasked, unasked)(trial(8)) == Room(0.25)


def test_auto_gives_each_trial_the_share_that_it_will_need_and_looks_at_a_gpu_once(folder):
    asked = []
    rooms = UsualRooms("auto", lambda config: opened_data(config, folder), lambda: asked.append(1) or 8 * GIB)
    assert rooms(trial(8)) == Room(0.125)
    assert 0.125 < rooms(trial(300_000)).gpus < 1.0
    assert rooms(trial(2_000_000)) == Room(1.0)
    assert asked == [1]


def test_on_a_cluster_a_trial_has_memory_of_its_node_in_whole_gib_and_a_node_is_looked_at_once(folder):
    asked = []
    rooms = UsualRooms(0.0, lambda config: opened_data(config, folder), int, lambda: asked.append(1) or 6 * GIB)
    assert rooms(trial(8)) == Room(0.0, memory=GIB)
    assert rooms(trial(300_000)).memory in range(2 * GIB, 6 * GIB, GIB)
    assert rooms(trial(20_000_000)) == Room(0.0, memory=6 * GIB)  # all that a node has: more would never be found
    assert asked == [1]


def test_a_larger_room_has_as_much_memory_set_aside():
    assert larger_room(Room(0.25, memory=GIB), concurrency=4) == Room(0.5, memory=GIB)
    assert larger_room(Room(0.0, memory=GIB), concurrency=4) == Room(0.0, alone=True, memory=GIB)


def test_auto_needs_a_whole_gpu_to_begin_with():
    assert least_gpus("auto") == 1.0
    assert least_gpus(0.25) == 0.25

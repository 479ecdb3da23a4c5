import gc
import weakref

import numpy as np
import pytest
import torch

from neurosearch.training.memory import (
    OutOfMemory,
    bytes_asked,
    in_words,
    is_out_of_memory,
    shortage_words,
    telling_shortage,
)
from neurosearch.training.records import TrialFailed

MORE_THAN_THERE_IS = 2**58


def cpu_shortage():
    return torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)


def numpy_shortage():
    return np.empty(MORE_THAN_THERE_IS, dtype=np.uint8)


def caught(function):
    try:
        function()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is looked at
        return error
    raise AssertionError("there was enough memory")


@pytest.mark.parametrize("function", [cpu_shortage, numpy_shortage])
def test_real_allocations_that_fail_are_known_and_say_what_they_asked_for(function):
    error = caught(function)
    assert is_out_of_memory(error)
    assert bytes_asked(error) == MORE_THAN_THERE_IS


def test_what_a_gpu_says_is_known():
    text = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 139.81 GiB of which 1.2 GiB"
    error = torch.OutOfMemoryError(text)
    assert is_out_of_memory(error)
    assert bytes_asked(error) == 2.5 * 2**30


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), TrialFailed("no")])
def test_other_errors_are_not_taken_for_a_shortage(error):
    assert not is_out_of_memory(error)


def test_the_words_name_bytes_network_and_remedy():
    words = shortage_words(caught(cpu_shortage), "12 neurons and 345 parameters")
    assert "256 PiB with a network of 12 neurons and 345 parameters" in words
    assert "Lower training.batch_size" in words
    assert "asked for memory before there was a network" in shortage_words(MemoryError(), None)


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2**31, "2 GiB")]
)
def test_bytes_in_words(num_bytes, words):
    assert in_words(num_bytes) == words


def test_a_told_shortage_holds_nothing_of_the_failed_step():
    kept = []

    def step():
        activations = torch.zeros(3)
        kept.append(weakref.ref(activations))
        cpu_shortage()

    with (
        pytest.raises(OutOfMemory, match="asked for 256 PiB with a network of 3 neurons") as info,
        telling_shortage(lambda: "3 neurons"),
    ):
        step()
    gc.collect()
    assert kept[0]() is None
    assert isinstance(info.value.__cause__, RuntimeError)


def test_other_errors_pass_through_untouched():
    error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError) as info, telling_shortage(lambda: "3 neurons"):
        raise error
    assert info.value is error


def test_a_trainer_that_runs_out_of_memory_at_growth_says_how_large_the_network_was(build_trainer, monkeypatch):
    trainer = build_trainer(policy="periodic")
    decide = trainer.policy.decide

    def growing_too_far(snapshot):
        if snapshot.clock.epoch > 0:
            cpu_shortage()
        return decide(snapshot)

    monkeypatch.setattr(trainer.policy, "decide", growing_too_far)
    with pytest.raises(OutOfMemory, match=r"256 PiB with a network of 21 neurons and 393 parameters"):
        list(trainer.epochs())

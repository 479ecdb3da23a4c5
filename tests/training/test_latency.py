import time

import torch

from neurosearch.training.latency import measure_latency


def test_a_slower_network_takes_longer():
    def slow(inputs):
        time.sleep(0.004)
        return inputs

    example = torch.zeros(1, 3)
    seconds = measure_latency(slow, example)
    assert seconds >= 0.004
    assert measure_latency(torch.nn.Identity(), example) < seconds


def test_a_moment_of_another_process_does_not_count():
    calls = []

    def now_and_then_slow(inputs):
        calls.append(inputs)
        time.sleep(0.01 if len(calls) % 4 == 0 else 0)

    assert measure_latency(now_and_then_slow, torch.zeros(1, 3)) < 0.01

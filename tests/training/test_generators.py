import torch

from neurosearch.training.generators import seed_global_generator


def test_the_same_seed_gives_the_numbers_of_manual_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = torch.rand(4)
        seed_global_generator(5, torch.device("cpu"))
        assert torch.equal(torch.rand(4), expected)

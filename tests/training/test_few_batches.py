import torch

from neurosearch.training.few_batches import FewBatches

CPU = torch.device("cpu")


class Numbered:
    """Ten batches of the epoch's number, three of validation."""

    steps_per_epoch = 10
    class_counts = (3, 4)

    def train(self, epoch):
        return iter([(torch.full((2, 1), float(epoch)), torch.zeros(2, dtype=torch.int64))] * 10)

    def validation(self):
        return iter([(torch.zeros(5, 1), torch.zeros(5, dtype=torch.int64))] * 3)

    def balanced(self, per_class, seed):
        return [(torch.full((per_class, 1), float(seed)), torch.zeros(per_class, dtype=torch.int64))]


def test_an_epoch_is_its_first_steps_alone():
    few = FewBatches(Numbered(), 4, CPU)
    assert (few.steps_per_epoch, few.whole_steps) == (4, 10)
    assert [inputs[0, 0].item() for inputs, _ in few.train(3)] == [3.0] * 4


def test_no_more_steps_than_there_are():
    few = FewBatches(Numbered(), 40, CPU)
    assert few.steps_per_epoch == 10
    assert len(list(few.train(0))) == 10


def test_every_step_is_timed_and_the_first_one_does_not_count():
    few = FewBatches(Numbered(), 4, CPU)
    list(few.train(0))
    assert len(few.seconds) == 4
    few.seconds = [9.0, 1.0, 2.0, 3.0]
    assert few.step_seconds == 2.0
    few.seconds = [9.0]
    assert few.step_seconds == 9.0


def test_a_new_epoch_is_timed_anew():
    few = FewBatches(Numbered(), 4, CPU)
    list(few.train(0))
    list(few.train(1))
    assert len(few.seconds) == 4


def test_the_validation_part_is_its_first_batch():
    few = FewBatches(Numbered(), 4, CPU)
    assert len(list(few.validation())) == 1
    assert few.num_validated == 5
    assert few.validation_seconds > 0


def test_importance_sees_the_whole():
    few = FewBatches(Numbered(), 1, CPU)
    assert few.class_counts == (3, 4)
    assert few.balanced(6, 2)[0][0].tolist() == [[2.0]] * 6

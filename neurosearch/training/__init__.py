"""Training: one trainer for every network, task and growth policy.

In: frozen `settings.TrainingSettings`, a network, and through the protocols of `seams` the batches, a task
(`tasks.Classification`, `tasks.Regression`), a growth policy and a `checkpoint` store that keeps the last states; both
batches and task may stand behind `mixing`, and a `second_stage` may change the classifier after the last epoch. Out:
one `records.EpochRecord` per epoch, growth events, and at the end `trainer.FinalResult`, a plain network of fixed size.

Trainings of small networks take their steps together as a `pack`, each of them the training that it would be alone.
Beside it `packed`, for thousands of tiny networks that learn side by side by one compiled step.
"""

__all__ = [
    "called_stack",
    "chain",
    "checkpoint",
    "companies",
    "compiled_step",
    "compiler",
    "counts",
    "distributed",
    "footprint",
    "form",
    "losses",
    "memory",
    "metrics",
    "mixing",
    "moves",
    "network",
    "optimizers",
    "pack",
    "packed",
    "records",
    "rows",
    "schedule",
    "scores",
    "seams",
    "second_stage",
    "settings",
    "spending",
    "stack",
    "state",
    "surgeon",
    "target_metrics",
    "tasks",
    "trainer",
]

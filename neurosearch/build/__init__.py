"""The one place where config becomes data, model, policy and trainer.

In: a `TrialConfig`. Out: what the rooms below need, as the frozen values they take. Our kinds of models, data and
growth stand in `models`, `data` and `growth` and are offered through entry points, as anybody's are.
"""

__all__: list[str] = []

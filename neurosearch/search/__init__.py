"""The search: which configuration is tried next, and how many trials run at once.

In: a `StudyConfig`. Out: a study on the disk whose best trial has a final network beside its checkpoints.

`run.run_search` does all of it. `study` is the only door to Optuna (with `space`), `ray_tune` the only one to Ray;
`trial` is what one trial runs and knows neither. `seams` holds what a tracker and a listener must offer. This card
imports nothing, so that a worker that needs `trial` does not pay for Ray or Optuna.
"""

__all__: list[str] = []

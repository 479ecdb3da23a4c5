"""The search: which configuration is tried next, and how many trials run at once.

In: a `StudyConfig`. Out: a study on the disk whose best trial has a final network beside its checkpoints.

`run.run_search` does all of it. `study.Study` asks, reports and tells Optuna (whose doors are `journal`, `stored`,
`sampling` and `space` too); `stored.StoredStudy` is what any process may read. `desk` hands out leases and takes in
what comes back, `ray_tune` and `ray_cluster` alone know Ray, `trial` is what one trial runs, and `together` what the
trials of a pack do; `packing` says which ones share one. `artifacts` keeps what trials leave. `seams` holds what a
tracker and a listener must offer. This card imports nothing, so that a worker that needs `trial` does not pay for
Optuna.
"""

__all__: list[str] = []

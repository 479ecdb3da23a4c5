"""The clusters' door: a study is searched on a Ray cluster, or on Kubernetes, and asked after there.

In: a validated study, and where the cluster is. Out: a job on it that runs `neurosearch search`, and what that job, or
a small command beside it, says.

Over a Ray cluster's job server: `address` and `token` say where and as whom, `connection` makes the `server`, `offered`
compares what a study asks for with the nodes, `package` says what travels along, `jobs` names and finds what was
submitted, `asking` runs a command of ours on the head and reads its answer.

On Kubernetes: `settings` are what its operator wrote down, `placement` chooses the nodes, `pods` and `ray_job` render.
"""

__all__: list[str] = []

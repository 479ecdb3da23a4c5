"""Ray Jobs' door: a study is searched on a cluster, and asked after there, over the cluster's job server.

In: a validated study and the address of a job server. Out: a job on the cluster's head that runs `neurosearch search`,
and what that job, or a small one beside it, says.

`address` and `token` say where and as whom, `connection` makes the `server`, `offered` compares what a study asks for
with the nodes, `package` says what travels along, `jobs` names and finds what was submitted, `asking` runs a command of
ours on the head and reads its answer.
"""

__all__: list[str] = []

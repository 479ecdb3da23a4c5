"""The one truth: a YAML file becomes one frozen, validated tree, or a list of all that is wrong with it.

In: a file and `--set` overrides (`load.load_study`). Out: a `StudyConfig` whose template gives `TrialConfig`s. Imports
no torch, so that `neurosearch check` answers in under a second.
"""

__all__: list[str] = []

"""Tracking: what the search tells goes in, MLflow runs come out. The only room that knows MLflow.

In: a study, its trials and their epoch records, as plain values (`values.py`). Out: a study run with one child run per
trial, in an embedded SQLite file or on a tracking server (`store.py`).

- `mlflow_tracker.MlflowTracker` takes note while the search runs; a thread of its own writes.
  `memory_tracker.MemoryTracker` is its fake.
- `sync.sync` writes what MLflow missed, from the study's own storage.
- `models.log_model` logs and registers an exported network. `ui` runs MLflow's web pages on the store.

Importing any of these imports no MLflow; using them does, which takes seconds.
"""

__all__ = ["memory_tracker", "mlflow_tracker", "models", "store", "sync", "ui", "values"]

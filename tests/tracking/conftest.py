import shutil
from pathlib import Path

import pytest

from neurosearch.tracking.store import Store, choose_store, connect


@pytest.fixture(scope="session")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database, made once: its migrations take seconds."""
    store = choose_store(tmp_path_factory.mktemp("made"), None)
    connect(store)
    return store.database


@pytest.fixture
def embedded(tmp_path: Path, made_database: Path) -> Store:
    store = choose_store(tmp_path / "runs", None)
    store.folder.mkdir()
    shutil.copyfile(made_database, store.database)
    return store

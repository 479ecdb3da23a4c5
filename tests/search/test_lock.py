import multiprocessing

import pytest

from neurosearch.search.errors import StudyError
from neurosearch.search.lock import SearchLock


def test_a_lock_is_held_once_and_free_again_after_its_release(tmp_path):
    lock = SearchLock(tmp_path / "lock", "moons")
    with pytest.raises(StudyError, match="searched already, by process"):
        SearchLock(tmp_path / "lock", "moons")
    lock.release()
    lock.release()
    SearchLock(tmp_path / "lock", "moons").release()


def _hold(path, held):
    _lock = SearchLock(path, "moons")
    held.set()
    multiprocessing.Event().wait()


def test_a_killed_holder_leaves_no_lock(tmp_path):
    context = multiprocessing.get_context("fork")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "lock", held))
    holder.start()
    assert held.wait(20)
    with pytest.raises(StudyError):
        SearchLock(tmp_path / "lock", "moons")
    holder.kill()
    holder.join()
    SearchLock(tmp_path / "lock", "moons").release()

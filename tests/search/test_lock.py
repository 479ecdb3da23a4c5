import multiprocessing

import pytest

from neurosearch.search.errors import StudyError
from neurosearch.search.lock import SearchLock


def test_a_lock_is_held_once_and_free_again_after_its_release(folder):
    folder.path.mkdir(parents=True)
    lock = SearchLock(folder)
    with pytest.raises(StudyError, match="searched already, by process"):
        SearchLock(folder)
    lock.release()
    lock.release()
    SearchLock(folder).release()


def _hold(folder, held):
    _lock = SearchLock(folder)
    held.set()
    multiprocessing.Event().wait()


def test_a_killed_holder_leaves_no_lock(folder):
    folder.path.mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    held = context.Event()
    holder = context.Process(target=_hold, args=(folder, held))
    holder.start()
    assert held.wait(20)
    with pytest.raises(StudyError):
        SearchLock(folder)
    holder.kill()
    holder.join()
    SearchLock(folder).release()

import multiprocessing

import pytest

from neurosearch.search.errors import StudyError
from neurosearch.search.lock import search_lock


def test_a_lock_is_held_once_and_free_again_after_its_release(folder):
    folder.path.mkdir(parents=True)
    lock = search_lock(folder)
    with pytest.raises(StudyError, match="searched already, by process"):
        search_lock(folder)
    lock.release()
    lock.release()
    search_lock(folder).release()


def _hold(folder, held):
    _lock = search_lock(folder)
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
        search_lock(folder)
    holder.kill()
    holder.join()
    search_lock(folder).release()

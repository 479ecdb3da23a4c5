import multiprocessing

import pytest

from neurosearch.search.errors import StudyError
from neurosearch.search.folders import StudyFolder
from neurosearch.search.lock import holder, search_lock, this_process
from tests.readers import as_reader, readable_folder


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
    holding = context.Process(target=_hold, args=(folder, held))
    holding.start()
    assert held.wait(20)
    with pytest.raises(StudyError):
        search_lock(folder)
    holding.kill()
    holding.join()
    search_lock(folder).release()


def test_who_may_only_read_a_study_is_told_whether_it_is_searched():
    with readable_folder() as root:
        folder = StudyFolder(root, "moons")
        folder.path.mkdir()
        lock = search_lock(folder)
        assert as_reader(root, lambda: holder(folder)) == this_process()
        lock.release()
        assert as_reader(root, lambda: holder(folder)) is None


def test_a_lock_that_may_not_be_read_tells_nothing_of_its_holder():
    with readable_folder() as root:
        folder = StudyFolder(root, "moons")
        folder.path.mkdir()
        search_lock(folder).release()
        found = as_reader(root, lambda: holder(folder), hidden=folder.lock)
        assert found == f"another process, if any: {folder.lock} may not be read by this user"

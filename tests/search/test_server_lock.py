import time

import pytest

from neurosearch.config.database import database_address
from neurosearch.search.errors import RightLost
from neurosearch.search.server_lock import ServerLock, server_holder
from tests.postgres import Wire

pytestmark = pytest.mark.servers


@pytest.fixture
def address(new_database):
    return database_address(new_database())


@pytest.fixture
def lock(address):
    lock = ServerLock.taken(address, "moons", "me")
    yield lock
    lock.release()


def test_a_lock_belongs_to_one_study_of_one_database(lock, address, new_database):
    assert ServerLock.taken(address, "moons", "you") is None
    for where, study in ((address, "suns"), (database_address(new_database()), "moons")):
        other = ServerLock.taken(where, study, "you")
        assert server_holder(where, study) == "you"
        other.release()
    assert server_holder(address, "moons") == "me"


def test_a_lock_whose_connection_broke_is_taken_again(lock, address, postgres):
    postgres.stop()
    postgres.start()
    assert server_holder(address, "moons") is None
    lock.ensure()
    assert server_holder(address, "moons") == "me"


def test_a_lock_that_another_process_took_in_between_is_lost(lock, address, postgres):
    postgres.stop()
    postgres.start()
    other = ServerLock.taken(address, "moons", "you")
    with pytest.raises(RightLost, match="broke, and now the study is searched by you"):
        lock.ensure()
    other.release()


@pytest.mark.parametrize("owner", ["me", f"process 210 on search-{'a' * 40}-b7xkq-head-\u00e42c9f"])
def test_a_connection_that_the_server_still_believes_in_is_ended_there(postgres, new_database, owner):
    wire = Wire(postgres)
    database = new_database().rsplit("/", 1)[1]
    address = database_address(postgres.address(database, port=wire.port))
    lock = ServerLock.taken(address, "moons", owner)
    wire.fall_silent()
    lock._connection._usock.settimeout(0.5)  # not the 15 s that a silent server is given
    since = time.monotonic()
    lock.ensure()
    assert time.monotonic() - since < 10
    assert owner.startswith(server_holder(address, "moons"))
    lock.release()
    wire.close()


def test_no_transaction_stays_open_beside_the_lock(lock, postgres):
    rows = postgres.sql("SELECT state FROM pg_stat_activity WHERE application_name = 'me'")
    assert [state for (state,) in rows] == ["idle"]

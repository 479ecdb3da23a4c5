from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.config.database import PostgresAddress, SqliteAddress, database_address, without_password


def test_a_sqlite_file_is_relative_to_the_working_directory_or_absolute():
    assert database_address("sqlite:///runs/a b.db") == SqliteAddress(Path("runs/a b.db"))
    assert database_address("sqlite:////srv/studies.db") == SqliteAddress(Path("/srv/studies.db"))


def test_a_server_is_named_with_user_host_and_database():
    assert database_address("postgresql://ann@db.example/studies") == PostgresAddress(
        "ann", "db.example", 5432, "studies", "prefer"
    )
    assert database_address("postgresql://a%40b@[::1]:6000/my%20db?sslmode=verify-full") == PostgresAddress(
        "a@b", "::1", 6000, "my db", "verify-full"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no address of a database; write sqlite:///FILE or postgresql://"),
        ("runs/studies.db", "is no address of a database"),
        ("mysql://ann@host/db", "is no address of a database"),
        ("postgres://ann@host/db", "write postgresql:// instead"),
        ("postgresql+psycopg2://ann@host/db", "write postgresql:// instead"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite:///", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
        ("sqlite:///runs/", "names no SQLite file"),
        ("sqlite://runs.db", "names no SQLite file"),
        ("postgresql://host/db", "must name user, host and database"),
        ("postgresql://ann@/db", "must name user, host and database"),
        ("postgresql://ann@host", "must name user, host and database"),
        ("postgresql://ann@host/a/b", "must name user, host and database"),
        ("postgresql://ann@host:port/db", "its port is no number"),
        ("postgresql://ann@host:99999/db", "its port is no number"),
        ("postgresql://ann@[host/db", "its host is malformed"),
        ("postgresql://ann@host/db?sslmode=maybe", "sslmode= and one of disable, prefer, require, verify-full"),
        ("postgresql://ann@host/db?timeout=3", "and with nothing else"),
    ],
)
def test_what_is_no_address_is_refused_with_the_form_to_write(text, why):
    with pytest.raises(ValueError, match=why):
        database_address(text)


WORDS = st.text("abcXYZ019:/?#[]@!$&'()*+,;=%", min_size=1, max_size=20)


@given(password=WORDS)
@pytest.mark.parametrize(
    "form",
    ["postgresql://ann:{}secret@host/db", "postgresql://ann@host/db?password={}secret", "mysql://a:{}secret@h/d"],
)
def test_a_password_is_refused_and_never_repeated(form, password):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # what it must not say counts
        database_address(form.format(password))
    assert "secret" not in str(raised.value)


def test_a_plain_password_is_refused_with_the_variables_that_take_it():
    with pytest.raises(ValueError, match="holds a password.*NEUROSEARCH_DATABASE_PASSWORD_FILE"):
        database_address("postgresql://ann:tiger@host/db")


@pytest.mark.parametrize("text", ["postgresql://ann:tiger@host/db", "postgresql://ann:ti/ger@host/db"])
def test_a_config_with_a_password_is_refused_without_repeating_it(text):
    from neurosearch.config.base import ConfigError
    from neurosearch.config.load import study_from_mapping

    mapping = {"name": "a", "data": {"kind": "digits"}, "model": {"kind": "mlp"}, "storage": {"database": text}}
    with pytest.raises(ConfigError, match="storage.database") as raised:
        study_from_mapping(mapping, "test.yaml")
    assert "ger" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tracking.uri=http://h:5000?token=abc", "tracking.uri=http://h:5000?"),
        (
            "tracking.uri=postgresql://h/db?user=ann&Password=a&sslmode=require",
            "tracking.uri=postgresql://h/db?user=ann&sslmode=require",
        ),
        ("postgresql://ann:tiger@h/db?sslkey=/a", "postgresql://ann@h/db?sslkey=/a"),
    ],
)
def test_a_text_is_shown_without_the_secrets_in_its_address(text, shown):
    assert without_password(text) == shown

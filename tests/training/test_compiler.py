import shutil

import pytest

from neurosearch.training.compiler import missing_compiler


def test_a_compiler_that_is_not_there_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -march=native")
    why = missing_compiler()
    assert why is not None
    assert why.startswith("there is no C++ compiler no-such-compiler -march=native on this machine. Install one")
    assert "CXX" in why


def test_headers_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "sh")  # some program that is there
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    why = missing_compiler()
    assert why is not None
    assert str(tmp_path / "Python.h") in why


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on this machine")
def test_where_all_is_there_nothing_is_missed(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    (tmp_path / "Python.h").touch()
    assert missing_compiler() is None

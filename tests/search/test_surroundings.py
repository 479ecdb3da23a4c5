import logging
import os

from neurosearch.search.surroundings import environment, logging_to


def test_the_environment_is_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("NEUROSEARCH_A", "old")
    monkeypatch.delenv("NEUROSEARCH_B", raising=False)
    with environment({"NEUROSEARCH_A": "new", "NEUROSEARCH_B": "1"}):
        assert (os.environ["NEUROSEARCH_A"], os.environ["NEUROSEARCH_B"]) == ("new", "1")
    assert os.environ["NEUROSEARCH_A"] == "old"
    assert "NEUROSEARCH_B" not in os.environ


def test_a_library_s_words_go_to_the_file_and_not_to_the_screen(tmp_path, capsys):
    library, noise = logging.getLogger("library"), logging.getLogger("library.noise")
    with logging_to(tmp_path / "logs" / "library.log", "library", "library.noise"):
        logging.getLogger("library.part").warning("heard")
        noise.warning("not heard")
    text = (tmp_path / "logs" / "library.log").read_text()
    assert "WARNING library.part: heard" in text
    assert "not heard" not in text
    assert capsys.readouterr() == ("", "")
    assert (library.propagate, library.handlers, noise.level) == (True, [], logging.NOTSET)

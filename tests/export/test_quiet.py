import logging
import sys
import warnings

from neurosearch.export.quiet import quietly


def test_prints_warnings_and_log_records_go_to_the_file(tmp_path, capsys):
    logger = logging.getLogger("third.party")
    logger.addHandler(handler := logging.StreamHandler(sys.stderr))
    logger.propagate = False
    try:
        with quietly(tmp_path / "logs" / "export.log"):
            sys.stdout.write("printed")
            sys.stderr.write("complained")
            warnings.warn("warned", UserWarning, stacklevel=1)
            logger.warning("logged")
        logger.warning("seen again")
    finally:
        logger.removeHandler(handler)
    text = (tmp_path / "logs" / "export.log").read_text()
    assert all(word in text for word in ("printed", "complained", "UserWarning: warned", "logged"))
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "seen again\n")


def test_a_second_use_adds_to_the_file(tmp_path):
    for word in ("first", "second"):
        with quietly(tmp_path / "log"):
            sys.stdout.write(word)
    assert (tmp_path / "log").read_text() == "firstsecond"

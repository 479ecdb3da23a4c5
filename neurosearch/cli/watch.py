"""Watching a study that another process searches, from what its storage tells."""

import json
import time

from neurosearch.cli.picture import stored_picture
from neurosearch.cli.report import finite, say
from neurosearch.cli.screen import Screen, screen_facts
from neurosearch.cli.studies import searcher
from neurosearch.cli.terminal import can_draw, showing
from neurosearch.search.stored import StoredStudy

_LOOK_SECONDS = 1.0


def watch(study: StoredStudy) -> None:
    """Shows how a study stands until nobody searches it, Ctrl-C, or the terminal is gone; the search is left alone.

    Where no screen can be drawn it says what changes, as JSON lines.
    """
    try:
        if can_draw():
            _draw(study)
        else:
            _say(study)
    except KeyboardInterrupt:  # it ends the watching alone
        return


def _look(study: StoredStudy) -> Screen:
    return stored_picture(study, lambda each: searcher(each) is not None)


def _draw(study: StoredStudy) -> None:
    seen = _look(study)
    with showing(lambda: seen, None, "") as is_there:
        while seen.is_searched and is_there():
            time.sleep(_LOOK_SECONDS)
            seen = _look(study)


def _say(study: StoredStudy) -> None:
    said = None
    while True:
        seen = _look(study)
        facts = screen_facts(seen)
        changing = {name: value for name, value in facts.items() if not name.startswith("seconds")}
        if changing != said:
            said = changing
            say(json.dumps(finite({"event": "status", **facts})))
        if not seen.is_searched:
            return
        time.sleep(_LOOK_SECONDS)

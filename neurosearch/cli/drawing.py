"""Draws a screen in lines that fit a terminal of any width and height, down to about 40 columns and 6 lines."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from neurosearch.cli.screen import RunningTrial, Screen
from neurosearch.cli.sparkline import BARS, PLAIN_BARS, sparkline
from neurosearch.numbers import number
from neurosearch.search.words import duration, hyperparameters, size

_LABEL = 9  # characters of the words in front of the lines
_WIDEST_SPARKLINE, _NARROWEST_SPARKLINE = 40, 4
_NAMED_FROM = 90  # columns beside the labels, from which on scores and sizes are named in every line
_MOST_WORDS = 3  # lines that the words of one failure may take
_STYLES = {
    "starting": "cyan",
    "searching": "green",
    "stopping": "yellow",
    "stopped": "yellow",
    "complete": "green",
}


class Drawing:
    """A screen as rich draws it: as many lines as there are, none wider than the terminal."""

    def __init__(self, screen: Screen) -> None:
        """Takes what to draw."""
        self._screen = screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        unicode = options.encoding.startswith("utf")
        yield from drawn(self._screen, options.max_width, options.height or console.size.height, unicode=unicode)


def drawn(screen: Screen, width: int, height: int, *, unicode: bool = True) -> list[Text]:
    """Returns the lines of a screen.

    What is short and always there comes first. The lists share the lines that are left: each has its first line, then
    the running trials, the failures and the front are filled up in this order. What is left out is counted.

    Args:
        screen: What to show.
        width: Columns of the terminal; no line is wider.
        height: Lines of the terminal; there are no more.
        unicode: Whether the terminal writes more than ASCII.
    """
    head = [*_head(screen, width, unicode=unicode), *_best(screen)]
    foot = _foot(screen)
    lists = [_running(screen, width, unicode=unicode), _failures(screen, width), _front(screen)]
    rooms = _shared([len(lines) for lines in lists], height - len(head) - len(foot))
    running, failures, front = (_cut(lines, room) for lines, room in zip(lists, rooms, strict=True))
    lines = [*head, *front, *running, *failures, *foot][:height]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis" if unicode else "crop")
    return lines


def _head(screen: Screen, width: int, *, unicode: bool) -> list[Text]:
    counted = ", ".join(f"{count} {state}" for state, count in screen.counts.items() if count) or "none yet"
    share = min(screen.trials_used / screen.trials, 1.0)
    title = Text.assemble((screen.name, "bold"), "  ", (screen.state, _STYLES[screen.state]))
    bar = _bar(share, max(min(width // 6, 30), 6), unicode=unicode)
    trials = _line("trials", f"{screen.trials_used} of {screen.trials} ", (bar, "cyan"))
    if trials.cell_len + len(counted) < width:
        trials.append(f" {counted}")
        states = []
    else:
        states = _labelled("", wrap(counted, max(width - _LABEL, 20)))
    work = [_line("now" if index == 0 else "", text) for index, text in enumerate(screen.work)]
    return [title, trials, *states, _line("time", _time(screen)), *work]


def _time(screen: Screen) -> str:
    limit = f" of at most {duration(screen.seconds_limit)}" if screen.seconds_limit else ""
    match screen.state:
        case "starting" | "searching":
            left = "not measured yet" if screen.seconds_left is None else f"about {duration(screen.seconds_left)}"
            return f"{duration(screen.seconds)}{limit}, left: {left}"
        case _:
            return f"{duration(screen.seconds)}{limit}"


def _best(screen: Screen) -> list[Text]:
    best = screen.best
    if best is None:
        return [_line("best", "nothing feasible yet")]
    score = (number(screen.metrics[0], best.value), "bold green")
    lines = [
        _line("best", f"trial {best.number}, {best.kind}, {screen.metrics[0]} ", score),
        _line("", size(best.metrics)),
    ]
    return [*lines, _line("", (hyperparameters(best), "dim"))] if best.params else lines


def _front(screen: Screen) -> list[Text]:
    if not screen.front:
        return []
    lines = [Text(f"{len(screen.front)} not dominated, by {', '.join(screen.metrics)}", "dim")]
    for each in screen.front:
        values = "  ".join(number(metric, value) for metric, value in zip(screen.metrics, each.values, strict=True))
        lines.append(Text(f"{each.trial:>4} {each.kind:<8} {values}"))
    return _labelled("front", lines)


def _running(screen: Screen, width: int, *, unicode: bool) -> list[Text]:
    if not screen.running:
        return []
    lines = [_trial(each, screen, width - _LABEL, unicode=unicode) for each in screen.running]
    if width - _LABEL < _NAMED_FROM:
        lines = [Text(f"epochs, {screen.metrics[0]}, {screen.size_metric}", "dim"), *lines]
    return _labelled("running" if screen.is_searched else "waiting", lines)


def _trial(trial: RunningTrial, screen: Screen, width: int, *, unicode: bool) -> Text:
    """Draws a trial in one line: number, growth, epochs, then score and size, each with its course if there is room."""
    epochs = f"{trial.epoch}/{trial.epochs}"
    parts = [f"{trial.number:>4} {trial.kind:<8} {epochs:<7}"]
    score = number(screen.metrics[0], trial.scores[-1]) if trial.scores else "-"
    last = number(screen.size_metric, trial.sizes[-1]) if trial.sizes else "-"
    words = _unit(screen, width)
    room = (width - len(parts[0]) - len(score) - len(last) - len(words[0]) - len(words[1]) - 6) // 2
    bars = BARS if unicode else PLAIN_BARS
    span = 0 if room < _NARROWEST_SPARKLINE else min(room, _WIDEST_SPARKLINE)
    courses = [sparkline(values, span, bars).rjust(span) for values in (trial.scores, trial.sizes)]
    line = Text.assemble(*parts, " ", words[0], (courses[0], "green"), f" {score} ", words[1], (courses[1], "magenta"))
    return line.append(f" {last}")


def _unit(screen: Screen, width: int) -> tuple[str, str]:
    """Returns what stands before score and size: their names where the terminal is wide enough."""
    if width < _NAMED_FROM:
        return "", ""
    return f"{screen.metrics[0]} ", f" {screen.size_metric} "


def _failures(screen: Screen, width: int) -> list[Text]:
    words = [f"trial {number}: {reason}" for number, reason in screen.failures]
    lines = [line for each in words for line in wrap(each, max(width - _LABEL, 20))[:_MOST_WORDS]]
    notes = [line for each in screen.notes for line in wrap(each, max(width - _LABEL, 20))[:_MOST_WORDS]]
    return [*_labelled("notes", notes, "yellow"), *_labelled("failed", lines, "red")]


def _foot(screen: Screen) -> list[Text]:
    logs = ", ".join(log.name for log in screen.logs)
    folder = screen.logs[0].parent
    lines = [_line("logs", (f"{folder}: {logs}", "dim"))]
    match screen.state:
        case "starting" | "searching":
            lines.append(
                _line("stop", (f"Ctrl-C, or {screen.commands[1]}" if screen.is_own else screen.commands[1], "dim"))
            )
        case "stopping":
            again = "; Ctrl-C again: at once" if screen.is_own else ""
            lines.append(_line("stop", f"running trials end their epoch{again}"))
        case _:
            pass
    if screen.is_own:
        lines.append(_line("watch", (screen.commands[0], "dim")))
    return lines


def _labelled(label: str, lines: Iterable[str | Text], style: str = "") -> list[Text]:
    return [_line(label if index == 0 else "", line, style=style) for index, line in enumerate(lines)]


def _line(label: str, *parts: str | Text | tuple[str, str], style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "bold"), Text.assemble(*parts, style=style))


def _shared(wanted: Sequence[int], room: int) -> list[int]:
    """Shares lines out: one for each list that has any, the rest to the first ones."""
    given = [0] * len(wanted)
    for most in (1, *wanted[:1], *(max(wanted, default=0),)):
        for index, lines in enumerate(wanted):
            more = min(min(lines, most) - given[index], room - sum(given))
            given[index] += max(more, 0)
    return given


def _cut(lines: list[Text], room: int) -> list[Text]:
    """Returns the first lines; the last one counts those that are left out."""
    if len(lines) <= room or room < 2:
        return lines[: max(room, 0)]
    return [*lines[: room - 1], _line("", (f"and {len(lines) - room + 1} more lines", "dim"))]


def _bar(share: float, width: int, *, unicode: bool) -> str:
    full, empty = ("█", "░") if unicode else ("#", ".")
    done = round(share * width)
    return full * done + empty * (width - done)

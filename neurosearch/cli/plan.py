"""`neurosearch plan`: what a search will take, before it is started."""

from neurosearch.cli.frame import command
from neurosearch.cli.options import ConfigFile, Overrides
from neurosearch.cli.report import Report, neurosearch


@command
def plan(config: ConfigFile, overrides: Overrides = None) -> Report:
    """Tell what a search will take: trials, epochs, time and memory, from timed mini-batches; nothing is kept."""
    from neurosearch.config.load import load_study

    study = load_study(config, tuple(overrides or ()))
    from neurosearch.cli.planning import plan_facts, plan_lines

    facts = plan_facts(study)
    set_words = [word for text in overrides or () for word in ("--set", text)]
    next_commands = (neurosearch("search", config, "--smoke", *set_words), neurosearch("search", config, *set_words))
    return Report({"ok": True, **facts}, tuple(plan_lines(facts)), next=next_commands)

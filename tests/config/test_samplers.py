import pytest

from neurosearch.config.samplers import branches_of

CHOICE = "{search: choice, options: [[8], [16]]}"
INT = "[{search: int, low: 4, high: 16}]"
TWO = "[{metric: accuracy, direction: maximize}, {metric: parameters, direction: minimize}]"


def study(sampler, widths=INT, rate="0.1", growth="{kind: static}", search=""):
    return f"""name: tiny
data: {{kind: digits}}
model: {{kind: mlp, widths: {widths}}}
training: {{epochs: 10, learning_rate: {rate}}}
growth: {growth}
search:
  sampler: {sampler}
  {search}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (study("cmaes", CHOICE), "cmaes moves along ranges, but model.widths is a choice"),
        (study("cmaes", search=f"objectives: {TWO}"), "cmaes follows one objective, but search.objectives names 2"),
        (
            study("grid", rate="{search: log_uniform, low: 0.001, high: 0.1}"),
            "training.learning_rate has no end of them. Give it steps by training.learning_rate.steps.",
        ),
        (
            study("grid", rate="{search: uniform, low: 0.001, high: 0.1}"),
            "training.learning_rate has no end of them. Give it steps by training.learning_rate.step.",
        ),
        (
            study("gp", growth="{search: one_of, options: [" + ", ".join(["{kind: static}"] * 17) + "]}"),
            "gp searches every combination of the options of growth on its own, and there are more than 16",
        ),
    ],
)
def test_a_sampler_that_cannot_search_the_space_is_refused_with_reason_and_remedy(problems, text, told):
    (problem,) = problems(text)
    assert (problem.where, problem.field) == ("study.yaml:7", "search.sampler")
    assert told in problem.text
    assert "sampler: " in problem.text


def test_an_earlier_study_is_refused_where_the_sampler_learns_nothing(problems):
    (problem,) = problems(study("random", search="warm_start: {study: other}"))
    assert (problem.where, problem.field) == ("study.yaml:8", "search.warm_start")


def test_a_branch_is_a_way_to_choose_among_options(load):
    growth = """
  search: one_of
  options:
  - {kind: static}
  - {kind: nimble, target_share: {search: uniform, low: 0.25, high: 1.0}}"""
    assert branches_of(load(study("tpe", growth=growth)).template) == ({"growth": "static"}, {"growth": "nimble"})
    assert branches_of(load(study("tpe")).template) == ({},)


def test_hyperparameters_that_get_steps_by_one_key_are_one_problem(problems):
    schedule = "{search: schedule, cycles: {low: 1, high: 3}, last_epoch: 8, add_share: {low: 0.5, high: 1}}"
    first, second = sorted(
        each.text for each in problems(study("grid", growth=f"{{kind: events, events: {schedule}}}"))
    )
    assert "growth.events.cycle_1.add_share has no end of them. Give it steps by growth.events.add_share.step." in first
    assert "growth.events.cycle_1.start has no end of them. Give it steps by growth.events.share_step." in second

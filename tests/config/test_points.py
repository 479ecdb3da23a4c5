import pytest

SPACE = """name: tiny
data: {kind: digits}
model: {kind: mlp, widths: {search: widths, depth: {low: 1, high: 3}, low: 4, high: 16, step: 4}}
training: {epochs: 10, warmup_epochs: {search: int, low: 0, high: 9}}
growth:
  search: one_of
  options: [{kind: static}, {kind: nimble, target_share: {search: uniform, low: 0.25, high: 1.0}}]
search:
  points:
  - """


@pytest.mark.parametrize(
    ("point", "field", "told"),
    [
        ("{training.warmup: 3}", "training.warmup", "Did you mean 'training.warmup_epochs'?"),
        (
            "{training.warmup_epochs: 10}",
            "training.warmup_epochs",
            "is 10, which its node does not draw. Write one of: 0 to 9.",
        ),
        ("{growth: periodic}", "growth", "Write one of: static, nimble."),
        (
            "{growth: static, growth.nimble.target_share: 0.5}",
            "growth.nimble.target_share",
            "exists only where growth is nimble, but this point has growth: static",
        ),
        ("{model.widths: [4, 5]}", "model.widths", "(see model.widths.layer_2: 4 to 16 in 4 steps)"),
        ("{model.widths: wide}", "model.widths", "is 'wide', which its node does not draw."),
    ],
)
def test_a_wrong_point_is_told_with_line_and_field(problems, point, field, told):
    (problem,) = problems(SPACE + point)
    assert problem.where.endswith(":10")
    assert problem.field == f"search.points[0].{field}"
    assert told in problem.text


@pytest.mark.parametrize(
    "point",
    [
        "{training.warmup_epochs: 3}",
        "{growth.nimble.target_share: 0.5}",
        "{model.widths: [4, 16]}",
        "{model.widths.depth: 2}",
        "{}",
    ],
)
def test_points_may_leave_values_to_the_sampler(load, point):
    assert len(load(SPACE + point).study.search.points) == 1


def test_a_whole_point_must_keep_the_rules_between_the_ends_that_the_check_looks_at(problems):
    (problem,) = problems(
        f"""name: tiny
data: {{kind: digits}}
model: {{kind: mlp, widths: {{search: choice, options: {[[width] for width in range(1, 601)]}}}}}
training: {{epochs: {{search: choice, options: [10, 6]}}}}
growth:
  kind: periodic
  period_epochs: 5
  grown_epochs: {{search: choice, options: [1, 4]}}
  stop_share: {{search: choice, options: [1.0, 0.5]}}
search:
  points:
  - {{training.epochs: 6, model.widths: [8], growth.grown_epochs: 1, growth.stop_share: 0.5}}
  - {{training.epochs: 6, model.widths: [8], growth.grown_epochs: 4, growth.stop_share: 0.5}}
"""
    )
    assert (problem.where, problem.field) == ("study.yaml:13", "search.points[1]")
    assert "no neuron would ever be added" in problem.text

"""Whether a study finds room on a cluster, as its head tells it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from neurosearch.cli.outage import ServersAway
from neurosearch.cli.report import Report
from neurosearch.cli.submitting import check_preflight, check_room
from neurosearch.cluster.offered import Node
from neurosearch.config.base import ConfigError
from neurosearch.config.load import StudyConfig
from neurosearch.config.yaml_source import to_yaml
from neurosearch.search.coming_nodes import MAY_GROW


@dataclass(frozen=True)
class AtRest:
    """An autoscaled cluster whose one node drives and runs no trial."""

    there: tuple[Node, ...] = (Node(0.0, 0.0),)

    def nodes(self) -> tuple[Node, ...]:
        return self.there


@pytest.fixture
def told(
    tiny: Callable[..., StudyConfig], type_in: Callable[..., Any], tmp_path: Path
) -> Callable[..., tuple[StudyConfig, Report]]:
    """Has this machine, as a head, say what it knows about a study."""

    def ask(**search: Any) -> tuple[StudyConfig, Report]:
        study = tiny(search={"trials": 2, **search}, storage={"folder": str(tmp_path / "runs")})
        (tmp_path / "study.yaml").write_text(to_yaml(study.to_mapping()))
        typed = type_in("preflight", "study.yaml", "--json")
        assert typed.code == 0, typed.err
        return study, Report(typed.facts, ())

    return ask


def test_a_cluster_at_rest_takes_what_it_may_grow_to(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAY_GROW, "cpu=8,memory=28Gi;cpu=4,gpu=1,memory=28Gi")
    study, found = told(cpus_per_trial=8.0)
    check_room(found, AtRest(), study.template.source)  # type: ignore[arg-type]
    study, found = told(cpus_per_trial=9.0)
    with pytest.raises(ConfigError, match="no node that is there or that the cluster can add has more than 8"):
        check_room(found, AtRest(), study.template.source)  # type: ignore[arg-type]


def test_a_cluster_that_stays_as_it_is_refuses_what_no_node_has(told: Any) -> None:
    study, found = told(cpus_per_trial=1.0)
    with pytest.raises(ConfigError, match=r"search\.cpus_per_trial: one trial asks for 1 CPU, but the only node has 0"):
        check_room(found, AtRest(), study.template.source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "error", "code"), [("s3://arrays/x.npz", ServersAway, 3), ("/absent.npz", ConfigError, 2)]
)
def test_a_server_that_the_head_cannot_reach_is_no_mistake_of_the_config(
    tiny: Callable[..., StudyConfig],
    type_in: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    error: type[ConfigError],
    code: int,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    s3 = {"endpoint": "http://127.0.0.1:1", "cache_folder": str(tmp_path / "cache"), "tries": 1}
    data = {"kind": "npz", "path": path, **({"s3": s3} if path.startswith("s3://") else {})}
    study = tiny(data=data, storage={"folder": str(tmp_path / "runs")})
    (tmp_path / "study.yaml").write_text(to_yaml(study.to_mapping()))
    typed = type_in("preflight", "study.yaml", "--json")
    assert typed.code == code
    found = Report(typed.facts, (), code=typed.code)
    with pytest.raises(ConfigError, match="on the cluster: ") as refused:
        check_preflight(found, AtRest(), study.template.source)  # type: ignore[arg-type]
    assert type(refused.value) is error

from collections.abc import Callable
from pathlib import Path

import pytest

from neurosearch.config.base import Problem
from neurosearch.config.load import StudyConfig

Load = Callable[..., StudyConfig]
Problems = Callable[..., tuple[Problem, ...]]

SECTIONS = "model: {kind: mlp, widths: [8]}\ntraining: {epochs: 3}\ngrowth: {kind: static}\n"


def study(data: str) -> str:
    return f"name: far\ndata: {{{data}}}\n{SECTIONS}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("train.txt", "s3://photos/web/train.txt"),
        ("lists/train.txt", "s3://photos/web/lists/train.txt"),
        ("s3://other/train.txt", "s3://other/train.txt"),
        ("/here/train.txt", "/here/train.txt"),
        ("./train.txt", "{folder}/train.txt"),
    ],
)
def test_lists_beside_images_on_s3_lie_there_unless_they_say_otherwise(
    load: Load, tmp_path: Path, written: str, meant: str
) -> None:
    data = load(study(f"kind: image_list, path: s3://photos/web/, train_list: {written}, num_classes: 2")).to_mapping()
    assert data["data"]["path"] == "s3://photos/web/"
    assert data["data"]["train_list"] == meant.format(folder=tmp_path)


def test_lists_follow_their_path_inside_a_search_node(load: Load) -> None:
    options = "{kind: image_list, path: s3://photos, train_list: a.txt}, {kind: npz, path: s3://photos/x.npz}"
    data = load(study(f"search: one_of, options: [{options}]")).to_mapping()["data"]
    assert data["options"][0]["train_list"] == "s3://photos/a.txt"


def test_a_bundle_of_certificates_is_relative_to_the_config_file(load: Load, tmp_path: Path) -> None:
    data = load(study("kind: npz, path: s3://photos/x.npz, s3: {ca_bundle: own.pem}")).to_mapping()["data"]
    assert data["s3"]["ca_bundle"] == f"{tmp_path}/own.pem"


def test_the_certificates_of_the_bucket_are_relative_to_the_config_file_too(load: Load, tmp_path: Path) -> None:
    text = study("kind: npz, path: s3://photos/x.npz")
    kept = load(f"{text}storage: {{artifacts: 's3://kept', s3: {{ca_bundle: own.pem}}}}\n").study.storage
    assert kept.s3.ca_bundle == f"{tmp_path}/own.pem"


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        ("kind: npz, path: s3://", "data.path", "names no bucket; write s3://BUCKET/PREFIX"),
        ("kind: npz, path: s3://B/x.npz", "data.path", "names no bucket"),
        ("kind: image_folder, path: s3://photos", "data.path", "on S3 use kind image_list or npz"),
        ("kind: npz, path: s3://photos/x, s3: {endpoint: 'host:9000'}", "data.s3.endpoint", "write https://HOST:PORT"),
        (
            "kind: npz, path: s3://photos/x, s3: {endpoint: 'http://ann:tiger@host'}",
            "data.s3.endpoint",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment instead",
        ),
        (
            "kind: npz, path: s3://photos/x, s3: {secret_access_key: tiger}",
            "data.s3",
            "secret_access_key must not stand in a config, which is stored and shown",
        ),
        ("kind: npz, path: s3://photos/x, s3: {cache_folder: here}", "data.s3.cache_folder", "must begin with / or ~/"),
        ("kind: npz, path: x.npz, s3: {region: eu-west-1}", "data.s3 and data.path", "nothing has an s3:// address"),
    ],
)
def test_what_cannot_be_is_refused_without_repeating_a_secret(
    problems: Problems, data: str, field: str, text: str
) -> None:
    found = problems(study(data))
    assert [each.field for each in found if text in each.text] == [field], found
    assert not any("tiger" in each.text for each in found)

import pytest

from neurosearch.cluster.errors import ClusterError
from neurosearch.cluster.settings import ray_of, read_settings
from tests.cluster.kubernetes_settings import IMAGE, TEXT, settings


def test_what_the_text_does_not_say_has_a_default():
    found = settings()
    assert (found.namespace, found.autoscaling, found.queue) == ("neurosearch", False, None)
    assert found.tracking_uri == "http://mlflow:5000"


def test_the_image_that_runs_counts_and_not_the_one_in_the_text():
    assert settings("image: other:1-ray2.60.0").image == IMAGE
    assert read_settings(f"image: {IMAGE}\n{TEXT}", None, "cluster.yaml").image == IMAGE


@pytest.mark.parametrize(
    ("image", "version"),
    [
        (IMAGE, "2.60.0"),
        ("neurosearch:ray2.61.1", "2.61.1"),
        (f"{IMAGE}-gpu@sha256:{'a' * 64}", "2.60.0"),
        ("neurosearch:0.1.0", None),
        (f"neurosearch@sha256:{'ray2.60.0'}", None),
        ("my-ray2.60.0/neurosearch:0.1.0", None),
    ],
)
def test_an_images_tag_tells_its_ray(image, version):
    assert ray_of(image) == version


@pytest.mark.parametrize(
    ("text", "image", "words"),
    [
        (TEXT, "neurosearch:0.1.0-ray2.52.0", "has Ray 2.52.0, but ray_version is 2.60.0.*Set ray_version to 2.52.0"),
        (TEXT, "neurosearch:0.1.0", "does not tell its Ray; tag it NAME:VERSION-ray2.60.0"),
        (TEXT + "queue: searches\nautoscaling: true", IMAGE, "exclude each other; take one out"),
        (TEXT + "colour: red", IMAGE, "cluster.yaml:10: colour: "),
        (TEXT.replace("name: gpu", "name: cpu"), IMAGE, "pools name cpu twice"),
        (TEXT.replace("28Gi", "28GB"), IMAGE, r"cluster.yaml:4: pools\[0\].memory"),
        (TEXT.replace("postgresql:", "sqlite:"), IMAGE, "storage.database"),
    ],
)
def test_wrong_settings_are_told_with_their_remedy(text, image, words):
    with pytest.raises(ClusterError, match=words):
        read_settings(text, image, "cluster.yaml")

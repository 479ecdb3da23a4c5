import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / ".ci" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["config.md", "commands.md"])
def test_the_reference_is_as_the_code_is(reference: ModuleType, page: str) -> None:
    written = (ROOT / "docs" / "reference" / page).read_text("utf-8")
    assert written == reference.pages()[page], f"docs/reference/{page} is stale: run `make reference`"


def test_every_field_and_kind_stands_in_the_reference(reference: ModuleType) -> None:
    schema, text = reference._shipped(), reference.config_page(reference._shipped())
    for name, section in schema["$defs"].items():
        for field in section.get("properties", {}):
            assert f"| `{field}` |" in text, f"{name}.{field}"
    for kind in ("npz", "image_folder", "resnet_cifar", "nimble", "wide_then_prune", "ldam", "tau_normalised"):
        assert f"{{kind: {kind}}}" in text


def test_links_within_the_reference_lead_somewhere(reference: ModuleType) -> None:
    text = reference.config_page(reference._shipped())
    places = {reference._anchor(heading.replace("`", "")) for heading in re.findall(r"(?m)^#+ (.*)$", text)}
    assert {*re.findall(r"\]\(#([^)]+)\)", text)} <= places


def test_a_stale_page_is_named(tmp_path: Path, reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "PAGES", tmp_path)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"config.md", "commands.md"}
    assert reference.main(["--check"]) == 0


def test_pages_can_be_made_from_a_shell() -> None:
    done = subprocess.run([sys.executable, ROOT / ".ci" / "reference.py", "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout

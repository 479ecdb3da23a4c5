"""How to do it again: commands, config, seeds, versions and the data's hash."""

from collections.abc import Iterator

from neurosearch.config.yaml_source import to_yaml
from neurosearch.names import DATA_HASH_TAG, UNCOMMITTED_TAG, VERSIONS_TAG
from neurosearch.report.exhibit import Missing, Section
from neurosearch.report.markup import Content, element
from neurosearch.report.material import Material, data_hashes
from neurosearch.report.table import Table
from neurosearch.search.words import hyperparameters
from neurosearch.tracking.provenance import GIT_COMMIT_TAG


def reproduce_section(material: Material) -> Section:
    """Returns the section."""
    name = material.folder.name
    content = [
        element("p", "Save the config below as ", element("code", f"{name}.yaml"), "; then"),
        element("pre", element("code", "\n".join(_commands(material))), tabindex="0"),
        _facts(material).html(),
        Missing(_unknown()).html() if not material.provenance else None,
        element("details", element("summary", "Config of the study"), _yaml(to_yaml(dict(material.config)))),
        _winner(material),
    ]
    return Section("reproduce", "How to reproduce", content)


def _commands(material: Material) -> Iterator[str]:
    name = material.folder.name
    yield f"neurosearch check {name}.yaml --data    # the data is there and the same"
    yield f"neurosearch search {name}.yaml          # the whole study"
    if material.best is not None:
        yield material.folder.command("best")
        yield material.folder.command("export", "--trial", material.best.number)
    yield material.folder.command("report")


def _facts(material: Material) -> Table:
    return Table("What the result depends on", ("what", "value"), tuple(_rows(material)), breaks=True)


def _rows(material: Material) -> Iterator[tuple[str, str]]:
    hashes = data_hashes(material.folder)
    for number, data_hash in enumerate(hashes, start=1):
        yield f"data{f' {number}' if len(hashes) > 1 else ''} (sha256)", data_hash
    if not hashes:
        yield "data (sha256)", f"not here; the tag {DATA_HASH_TAG} of each trial's run in MLflow has it"
    yield "seed of the study", str(material.fields.seed)
    yield "fresh seeds", ", ".join(str(seed) for seed in _fresh_seeds(material)) or "none were used"
    if VERSIONS_TAG in material.provenance:
        yield "versions", material.provenance[VERSIONS_TAG]
    if GIT_COMMIT_TAG in material.provenance:
        is_changed = material.provenance.get(UNCOMMITTED_TAG) == "true"
        changed = ", with changes that are not committed" if is_changed else ""
        yield "commit of the working directory", f"{material.provenance[GIT_COMMIT_TAG]}{changed}"
    is_exact = (
        "the same trials, however often it is interrupted"
        if material.fields.search.deterministic
        else ("with concurrency above 1, trials may come in another order (search.deterministic: true prevents that)")
    )
    yield "repeating", is_exact


def _fresh_seeds(material: Material) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seed for trial in material.confirmed for seed in trial.seeds))


def _unknown() -> str:
    return "With which versions the study was searched was not written down: an older version of neurosearch did it."


def _winner(material: Material) -> Content:
    best = material.best
    if best is None:
        return None
    return [
        element("h3", f"Trial {best.number}, which was chosen"),
        element("p", f"Searched values: {hyperparameters(best)}."),
        element("details", element("summary", "Its whole config"), _yaml(to_yaml(dict(best.config)))),
    ]


def _yaml(text: str) -> Content:
    return element("pre", element("code", text), tabindex="0")

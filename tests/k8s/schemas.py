"""Checks objects against Kubernetes' own schemas, and custom resources against those of their definitions."""

import copy
import functools
import gzip
import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest

OLDEST, NEWEST = "1.32", "1.37"
SHARED = Path(__file__).parents[3] / "shared/k8s"
needs_definitions = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the definitions of custom resources are no part of this repository, and not beside it"
)
#: Kinds of the Prometheus operator, whose definitions are not at hand: tests of their own look at them.
UNDEFINED = ("PodMonitor", "PrometheusRule")
_CORE = ("apps", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io")

kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def is_core(thing):
    group = thing["apiVersion"].rpartition("/")[0]
    return group in ("", *_CORE)


def core_problem(thing, version):
    """Return what Kubernetes of a version has against an object, unknown fields included; None if nothing."""
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


@functools.cache
def _definition(kind, version):
    file = SHARED / f"{kind.lower()}_{version}.schema.json.gz"
    return json.loads(gzip.decompress(file.read_bytes()))


def custom_problem(thing):
    """Return what a custom resource's definition has against an object, its defaults applied; None if nothing."""
    group, version = thing["apiVersion"].split("/")
    definition = _definition(thing["kind"], version)
    assert definition["group"] == group
    schema = strict(definition["openAPIV3Schema"])
    error = jsonschema.Draft202012Validator(schema).iter_errors(with_defaults(thing, schema))
    first = next(iter(error), None)
    return None if first is None else f"{'.'.join(map(str, first.path))}: {first.message}"


def strict(schema):
    """Return a definition's schema as JSON Schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: each if key == "default" else strict(each) for key, each in schema.items()}
    if "properties" in schema:
        found["properties"] = {key: strict(each) for key, each in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    if schema.get("nullable") and "type" in schema:
        found["type"] = [schema["type"], "null"]
    return found


def with_defaults(value, schema):
    """Return a copy of a value with the defaults that the API server would write into it."""
    if isinstance(value, list):
        return [with_defaults(each, schema.get("items", {})) for each in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    found = {key: copy.deepcopy(each["default"]) for key, each in properties.items() if "default" in each}
    found |= value
    return {
        key: with_defaults(each, properties.get(key, others if isinstance(others, dict) else {}))
        for key, each in found.items()
    }

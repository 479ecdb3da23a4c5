"""Computes from network policies who reaches whom, on which ports, as Kubernetes reads them."""

from tests.k8s.manifests import pod_templates

LABEL = "app.kubernetes.io/component"


def pods(objects):
    """Return {component: labels} of every pod that the objects make."""
    found = {}
    for thing in objects:
        for _, template in pod_templates(thing):
            labels = template["metadata"]["labels"]
            assert found.setdefault(labels[LABEL], labels)[LABEL] == labels[LABEL]
    return found


def table(objects):
    """Return {(from, to): ports}: what both ends allow within the namespace, and each end towards the outside."""
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    inside = pods(objects)
    found = {}
    for source, source_labels in inside.items():
        for target, target_labels in inside.items():
            out = _ports(policies, source_labels, "Egress", "egress", "to", target_labels)
            into = _ports(policies, target_labels, "Ingress", "ingress", "from", source_labels)
            if both := _common(out, into):
                found[source, target] = both
        for peer, ports in _outside(policies, source_labels, "Egress", "egress", "to"):
            found.setdefault((source, peer), set()).update(ports)
        for peer, ports in _outside(policies, source_labels, "Ingress", "ingress", "from"):
            found.setdefault((peer, source), set()).update(ports)
    return {pair: sorted(ports) for pair, ports in found.items()}


def _common(one, other):
    """Return the ports that both allow; None allows all."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _ports(policies, labels, kind, rules, peers, other):
    """Return the ports on which a pod may talk in one direction with another pod of its namespace; None for all."""
    selecting = [each for each in policies if kind in each["policyTypes"] and matches(each["podSelector"], labels)]
    if not selecting:
        return None
    found = set()
    for policy in selecting:
        for rule in policy.get(rules, ()):
            if any("namespaceSelector" not in peer and _is_pod(peer, other) for peer in rule[peers]):
                found |= _written(rule)
    return found


def _outside(policies, labels, kind, rules, peers):
    for policy in policies:
        if kind not in policy["policyTypes"] or not matches(policy["podSelector"], labels):
            continue
        for rule in policy.get(rules, ()):
            for peer in rule[peers]:
                if "namespaceSelector" in peer or "ipBlock" in peer:
                    yield _name(peer), _written(rule)


def _name(peer):
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return f"{block['cidr']} but {', '.join(block['except'])}" if "except" in block else block["cidr"]
    namespace = "/".join(peer["namespaceSelector"]["matchLabels"].values())
    pod = "/".join(peer.get("podSelector", {}).get("matchLabels", {}).values())
    return f"{namespace}/{pod}" if pod else namespace


def _is_pod(peer, labels):
    return "podSelector" in peer and matches(peer["podSelector"], labels)


def _written(rule):
    found = set()
    for port in rule["ports"]:
        number = f"{port['port']}-{port['endPort']}" if "endPort" in port else str(port["port"])
        found.add(number if port["protocol"] == "TCP" else f"{number}/{port['protocol']}")
    return found


def matches(selector, labels):
    """Tell whether a label selector takes a pod with these labels."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(each, labels) for each in selector.get("matchExpressions", ())
    )


def _holds(expression, labels):
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(expression)

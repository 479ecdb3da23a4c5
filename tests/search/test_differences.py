from neurosearch.search.differences import differing_fields


def test_equal_configs_have_no_differing_fields():
    assert differing_fields({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2}]}}) == ()


def test_differing_fields_are_named_by_their_dotted_paths():
    left = {"a": {"b": 1, "c": 2}, "d": [1, {"e": 2}], "f": [1], "g": 1}
    right = {"a": {"b": 1, "c": 3, "x": 0}, "d": [1, {"e": 3}], "f": [1, 2], "h": 1}
    assert differing_fields(left, right) == ("a.c", "a.x", "d[1].e", "f", "g", "h")

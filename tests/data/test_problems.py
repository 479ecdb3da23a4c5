import pickle

from neurosearch.data.problems import DataError, Problem, name_class


def test_the_message_has_a_line_for_every_problem():
    error = DataError([Problem("data.path", "no file"), Problem("data.resize", "no images")])
    assert str(error) == "data.path: no file\ndata.resize: no images"


def test_problems_survive_the_way_between_processes():
    error = DataError([Problem("data.path", "no file")])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_a_class_is_called_by_its_name_where_it_has_one():
    assert name_class(3, ("a", "b", "c", "cat")) == "class 3 (cat)"
    assert name_class(1, ("0", "1")) == "class 1"

import pickle

import pytest

from rsmeta import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.RsmetaError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_the_same_after_a_journey_between_processes(kind):
    error = kind(["one", "two"]) if kind is errors.RecipeError else kind("one")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.exit_code in (1, 2)

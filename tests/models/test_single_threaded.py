import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from rsmeta.models.single_threaded import SingleThreaded


@pytest.fixture(autouse=True)
def threads():
    """PyTorch has three threads within a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_threads_are_set_back_by_the_last_who_leaves():
    alone = SingleThreaded()
    both, one_left = Barrier(2), Barrier(2)

    def first():
        with alone:
            both.wait()
            assert (torch.get_num_threads(), alone.threads) == (1, 3)
        one_left.wait()

    def second():
        with alone:
            both.wait()
            one_left.wait()
            assert (torch.get_num_threads(), alone.threads) == (1, 3)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result(timeout=30)
    assert (torch.get_num_threads(), alone.threads) == (3, 3)


def test_threads_are_set_back_after_an_error():
    with pytest.raises(ValueError, match="wrong"), SingleThreaded():
        raise ValueError("wrong")
    assert torch.get_num_threads() == 3


def test_a_copy_in_another_process_begins_outside():
    alone = SingleThreaded()
    with alone:
        copy = pickle.loads(pickle.dumps(alone))
    assert copy.threads == torch.get_num_threads() == 3

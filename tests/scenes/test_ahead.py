"""Iterators in threads of their own."""

import threading

import pytest

from rsmeta.scenes.ahead import ahead


def test_items_come_in_order_and_no_more_than_asked_for_wait():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    with ahead(items(), 3) as taken:
        for number in taken:
            assert len(made) <= number + 1 + 3 + 1  # taken, waiting, and one in the hand
    assert made == list(range(20))


def test_an_error_comes_where_the_item_would():
    def items():
        yield 1
        raise LookupError("no two")

    with ahead(items(), 2) as taken:
        assert next(taken) == 1
        with pytest.raises(LookupError, match="no two"):
            next(taken)


def test_who_stops_taking_ends_the_thread_and_closes_the_generator():
    closed = []

    def items():
        try:
            while True:
                yield threading.current_thread()
        finally:
            closed.append(threading.current_thread())

    with ahead(items(), 1) as taken:
        thread = next(taken)
    assert closed == [thread]
    assert not thread.is_alive()

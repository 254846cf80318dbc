import threading

import pytest

from moco.jobs.rounds import Rounds


class Doubling:
    """Doubles every request, and remembers the rounds."""

    def __init__(self, fail_at=None):
        self.seen, self._fail_at = [], fail_at

    def __call__(self, requests):
        self.seen.append(list(requests))
        if len(self.seen) == self._fail_at:
            raise OSError("engine is gone")
        return [2 * request for request in requests]


def asking(*rounds):
    """A worker that asks these rounds and returns all replies."""

    def work(ask):
        return [list(ask(requests)) for requests in rounds]

    return work


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert left == []


def test_results_come_in_worker_order_and_requests_are_merged_per_round():
    execute = Doubling()
    results = Rounds(execute).run([asking([1, 2], [3]), asking([10], [20, 30]), asking([100], [200])])
    assert execute.seen == [[1, 2, 10, 100], [3, 20, 30, 200]]
    assert results == [[[2, 4], [6]], [[20], [40, 60]], [[200], [400]]]


def test_workers_may_take_different_numbers_of_rounds():
    execute = Doubling()
    results = Rounds(execute).run([asking([1]), asking(), asking([2], [3], [4]), asking([5], [6])])
    assert execute.seen == [[1, 2, 5], [3, 6], [4]]
    assert results == [[[2]], [], [[4], [6], [8]], [[10], [12]]]


def test_an_empty_request_gets_an_empty_reply_and_stays_in_step():
    execute = Doubling()
    results = Rounds(execute).run([asking([], [1]), asking([2], [3])])
    assert execute.seen == [[2], [1, 3]]
    assert results == [[[], [2]], [[4], [6]]]


def test_a_round_without_any_request_executes_nothing():
    execute = Doubling()
    assert Rounds(execute).run([asking([], [1]), asking([])]) == [[[], [2]], [[]]]
    assert execute.seen == [[1]]


def test_one_worker_and_none():
    execute = Doubling()
    assert Rounds(execute).run([asking([1], [2])]) == [[[2], [4]]]
    assert execute.seen == [[1], [2]]
    assert Rounds(execute).run([]) == []


def test_many_workers():
    execute = Doubling()
    results = Rounds(execute).run([asking(*[[index]] * (index % 5)) for index in range(40)])
    assert [len(result) for result in results] == [index % 5 for index in range(40)]
    assert [len(requests) for requests in execute.seen] == [32, 24, 16, 8]


def test_one_worker_runs_at_a_time():
    running, most = [], []

    def work(ask):
        for _ in range(3):
            running.append(1)
            most.append(len(running))
            sum(range(20_000))
            running.pop()
            ask([1])

    Rounds(Doubling()).run([work] * 4)
    assert max(most) == 1


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_failing_worker_ends_the_run_and_all_others(place, at):
    execute = Doubling()
    ended = []

    def failing(ask):
        for number in range(at):
            ask([number])
        raise ValueError(f"worker {place} in round {at}")

    def other(ask):
        try:
            for number in range(5):
                ask([number])
        finally:
            ended.append(True)

    workers = [other, other, other]
    workers[place] = failing
    with pytest.raises(ValueError, match=f"worker {place} in round {at}"):
        Rounds(execute).run(workers)
    assert len(execute.seen) == at
    assert ended == [True, True]


def test_of_several_failures_the_first_worker_is_reported():
    def failing(name):
        def work(_ask):
            raise ValueError(name)

        return work

    with pytest.raises(ValueError, match="second"):
        Rounds(Doubling()).run([asking([1]), failing("second"), failing("third")])


@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_failing_engine_ends_the_run(fail_at):
    execute = Doubling(fail_at)
    with pytest.raises(OSError, match="engine is gone"):
        Rounds(execute).run([asking([1], [2], [3]), asking([4], [5])])
    assert len(execute.seen) == fail_at


def test_an_interrupt_in_the_engine_is_passed_on():
    def execute(_requests):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rounds(execute).run([asking([1]), asking([2])])


def test_a_worker_cannot_mistake_the_end_for_an_ordinary_error():
    caught = []

    def careful(ask):
        try:
            ask([1])
        except Exception as error:
            caught.append(error)

    with pytest.raises(OSError, match="engine is gone"):
        Rounds(Doubling(1)).run([careful, careful])
    assert caught == []

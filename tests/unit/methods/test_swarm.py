"""Swarms: updates computed by hand, stopping and restarting, and the original's traps under its own rules."""

import itertools
from dataclasses import replace

import pytest

from moco.errors import RequestError
from moco.methods.shared.swarm import Swarm, SwarmSettings, partner_velocity
from moco.seeds import generator

FIXED = SwarmSettings(randomness=False)


def draw(purpose, item):
    return generator(1, purpose, item)


def fractions(vectors, denominator):
    return [pytest.approx([value / denominator for value in vector], rel=1e-12) for vector in vectors]


def places(state):
    return list(state.positions)


def test_three_updates_without_randomness_are_those_computed_by_hand():
    swarm = Swarm(FIXED, draw)
    # Pulls 0.2, 0.3, 0.4, 0.05 over their sum: 4, 6, 8 and 1 nineteenths.
    state = swarm.update(swarm.start([(0.0,), (4.0,)], at_rest=True), [1, 3])
    assert places(state) == fractions([[16], [78]], 19)
    assert [particle.velocity for particle in state.particles] == fractions([[32], [4]], 19)
    assert (state.best, state.worst, state.step) == ((4.0,), (0.0,), pytest.approx(0.475))
    state = swarm.update(state, [2, 2.5])
    assert places(state) == fractions([[600.4], [1513.35]], 361)
    assert [particle.velocity for particle in state.particles] == fractions([[624], [66]], 361)
    assert (state.best, state.bests) == ((4.0,), (3, 3))
    assert [particle.best for particle in state.particles] == [*fractions([[16]], 19), (4.0,)]
    state = swarm.update(state, [4, 0.5])
    speeds = [1583.05, -7455.7]
    starts = [600.4 * 19, 1513.35 * 19]
    assert [particle.velocity for particle in state.particles] == fractions([[speed] for speed in speeds], 6859)
    moved = [[start + 0.45125 * speed] for start, speed in zip(starts, speeds, strict=True)]
    assert places(state) == fractions(moved, 6859)
    assert state.best == fractions([[600.4]], 361)[0]
    assert state.worst == fractions([[1513.35]], 361)[0]


def test_without_the_push_the_pulls_share_everything():
    swarm = Swarm(replace(FIXED, repel=0.0), draw)
    state = swarm.update(swarm.start([(0.0,), (9.0,)], at_rest=True), [1, 2])
    assert places(state) == [pytest.approx([0.5 * 4]), (9.0,)]


def test_inertia_alone_keeps_the_velocity_and_moves_by_the_step_s_share_of_it():
    swarm = Swarm(replace(FIXED, inertia=1.0, cognitive=0.0, social=0.0, repel=0.0), draw)
    before = swarm.start([(0.0, 1.0), (4.0, 2.0)])
    after = swarm.update(before, [1, 3])
    for old, new in zip(before.particles, after.particles, strict=True):
        assert new.velocity == pytest.approx(old.velocity)
        assert new.position == pytest.approx([x + 0.5 * v for x, v in zip(old.position, old.velocity, strict=True)])


def test_the_step_shrinks_to_its_floor():
    swarm = Swarm(replace(FIXED, patience=99), draw)
    state = swarm.start([(0.0,), (1.0,)])
    steps = []
    for number in range(40):
        state = swarm.update(state, [number, 0])
        steps.append(state.step)
    assert steps[0] == pytest.approx(0.475)
    assert steps[30] > 0.1
    assert set(steps[31:]) == {0.1}


def test_equal_scores_change_no_best_and_the_first_particle_counts():
    swarm = Swarm(FIXED, draw)
    state = swarm.update(swarm.start([(0.0,), (4.0,)]), [1, 1])
    assert (state.best, state.worst) == ((0.0,), (0.0,))
    best = [particle.best for particle in state.particles]
    state = swarm.update(state, [1, 1])
    assert (state.best, state.worst) == ((0.0,), (0.0,))
    assert [particle.best for particle in state.particles] == best


def test_an_offered_position_draws_the_swarm_while_it_is_the_best():
    swarm = Swarm(FIXED, draw)
    start = swarm.start([(0.0,), (1.0,)], at_rest=True)
    drawn = swarm.update(start.offered((10.0,), 5.0), [1, 2])
    assert drawn.best == (10.0,)
    assert drawn.positions[0][0] == pytest.approx(0.5 * 80 / 19)
    assert swarm.update(start.offered((10.0,), 1.5), [1, 2]).best == (1.0,)
    assert start.offered((10.0,), 5.0).offered((3.0,), 5.0).best == (10.0,)


def score(position):
    return -sum((value - 0.5) ** 2 for value in position)


def rounded(position):
    return round(score(position), 2)


def run(settings, objective=score, updates=50, particles=5, dimension=3, draw=draw):
    swarm = Swarm(settings, draw)
    state = swarm.start(swarm.random_positions(particles, dimension))
    states = [state]
    while len(states) <= updates and not state.finished:
        state = swarm.update(state, [objective(position) for position in state.positions])
        states.append(state)
    return states


def longest_rests(states):
    """For every particle, how many updates in a row left it where it was."""
    longest = []
    for index in range(len(states[0].particles)):
        rest = most = 0
        for before, after in itertools.pairwise(states):
            rest = rest + 1 if before.positions[index] == after.positions[index] else 0
            most = max(most, rest)
        longest.append(most)
    return longest


@pytest.mark.parametrize("repel", [0.05, 0.0])
@pytest.mark.parametrize("objective", [score, rounded])
@pytest.mark.parametrize("randomness", [True, False])
def test_on_a_concave_objective_the_best_never_falls_and_no_particle_rests(repel, objective, randomness):
    settings = SwarmSettings(repel=repel, randomness=randomness, patience=99)
    states = run(settings, objective)
    bests = states[-1].bests
    assert len(bests) == 50
    assert list(bests) == sorted(bests)
    assert bests[-1] > bests[0]
    assert max(longest_rests(states)) <= settings.restart_patience + 1


def test_a_resting_swarm_without_a_push_restarts():
    settings = SwarmSettings(repel=0.0, randomness=False, patience=99)
    swarm = Swarm(settings, draw)
    state = swarm.start([(0.0, 0.0), (1.0, 1.0)], at_rest=True)
    states = [state]
    for _ in range(8):
        state = swarm.update(state, [2, 1])
        states.append(state)
    assert [one.positions[0] == (0.0, 0.0) for one in states[:5]] == [True] * 4 + [False]


def test_a_restart_begins_at_the_own_best_moves_and_is_followed_by_rest_from_restarting():
    swarm = Swarm(replace(FIXED, patience=99), draw)
    state = swarm.start([(0.0,), (4.0,)], at_rest=True)
    cooldowns = []
    for scores in ([5, 9], [4, 9], [4, 9], [4, 9], [4, 9], [4, 9], [4, 9], [4, 9]):
        state = swarm.update(state, scores)
        cooldowns.append(state.particles[0].cooldown)
        if len(cooldowns) == 4:
            velocity = float(draw("swarm velocity", "4.0").uniform(-1, 1))
            moved = (4 * velocity + 8 * 4 - state.worst[0]) / 19
            assert state.particles[0].velocity[0] == pytest.approx(moved)
            assert state.positions[0][0] == pytest.approx(0.5 * 0.95**3 * moved)
    assert cooldowns == [0, 0, 0, 3, 2, 1, 0, 3]


def test_randomness_has_names():
    asked = []

    def listed(purpose, item):
        asked.append((purpose, item))
        return draw(purpose, item)

    run(SwarmSettings(patience=99), rounded, updates=10, draw=listed)
    assert len(set(asked)) == len(asked)
    other = run(SwarmSettings(), updates=3, draw=lambda purpose, item: generator(2, purpose, item))
    assert other[1].positions != run(SwarmSettings(), updates=3)[1].positions


def updates_until_stop(settings, bests):
    swarm = Swarm(settings, draw)
    state = swarm.start([(0.0,), (1.0,)])
    for number, best in enumerate(bests, start=1):
        before = state.positions
        state = swarm.update(state, [best, 0])
        if state.finished:
            assert state.positions == before
            return number
    return None


RISING = [1, 2, 3, 4, 5] + [5] * 10


@pytest.mark.parametrize(("rules", "expected"), [("window", 10), ("weight", 9), ("numeric", 6)])
def test_the_search_ends_after_its_patience_and_under_the_original_rules_at_the_first_flat_update(rules, expected):
    assert updates_until_stop(SwarmSettings(rules=rules), RISING) == expected


def test_a_gain_within_the_window_keeps_the_search_alive():
    bests = [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3]
    assert updates_until_stop(SwarmSettings(), bests) is None
    assert updates_until_stop(SwarmSettings(patience=4), bests) == 5
    assert updates_until_stop(SwarmSettings(patience=1), [1, 2, 3, 3]) == 4


def test_under_the_original_rules_for_vectors_particles_freeze():
    states = run(SwarmSettings(rules="numeric", patience=99), rounded, updates=60)
    assert min(longest_rests(states)) > 20
    last = states[-1]
    assert all(particle.position == particle.best for particle in last.particles)
    assert max(longest_rests(run(SwarmSettings(patience=99), rounded, updates=60))) <= 4


def test_under_the_original_rules_for_vectors_a_restart_does_not_move():
    swarm = Swarm(replace(FIXED, rules="numeric", patience=99), draw)
    state = swarm.start([(0.0,), (4.0,)], at_rest=True)
    for scores in ([5, 9], [4, 9], [4, 9], [4, 9]):
        state = swarm.update(state, scores)
    particle = state.particles[0]
    assert (particle.position, particle.cooldown) == ((0.0,), 0)
    assert particle.velocity == tuple(draw("swarm velocity", "4.0").uniform(-1, 1, 1))


def test_under_the_original_rules_for_models_a_restart_loses_its_velocity_and_moves():
    swarm = Swarm(replace(FIXED, rules="weight", patience=99), draw)
    state = swarm.start([(0.0,), (4.0,)])
    cooldowns = []
    for scores in ([5, 9], [4, 9], [4, 9], [4, 9], [4, 9]):
        state = swarm.update(state, scores)
        cooldowns.append(state.particles[0].cooldown)
        if len(cooldowns) == 4:
            worst = state.worst[0]
            assert state.particles[0].velocity[0] == pytest.approx((8 * 4 - worst) / 19)
    assert cooldowns == [0, 0, 0, 3, 2]


def test_a_swarm_of_mixtures_keeps_the_sums_of_positions_and_velocities():
    swarm = Swarm(SwarmSettings(patience=99), draw, partner_velocity)
    state = swarm.start([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
    assert all(sorted(particle.velocity) == [-1, 0, 1] for particle in state.particles)
    for number in range(12):
        state = swarm.update(state, [number % 3, 1, 2])
        for particle in state.particles:
            assert sum(particle.position) == pytest.approx(1)
            assert sum(particle.velocity) == pytest.approx(0, abs=1e-12)


def test_identical_particles_that_go_for_partners_stay():
    swarm = Swarm(SwarmSettings(), draw, partner_velocity)
    state = swarm.start([(0.5, 0.5)] * 3)
    for _ in range(4):
        state = swarm.update(state, [1, 1, 1])
        assert set(state.positions) == {(0.5, 0.5)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": "numeric", "patience": 1}, "at least 2"),
        ({"rules": "numeric", "restart_patience": 1}, "at least 2"),
        ({"patience": 0}, "at least 1"),
        ({"inertia": 0, "cognitive": 0, "social": 0, "repel": 0}, "at least one"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        SwarmSettings(**changes)


def test_a_single_particle_has_no_partner():
    with pytest.raises(RequestError, match="at least two particles"):
        Swarm(SwarmSettings(), draw, partner_velocity).start([(1.0,)])

"""The parts of the simulation beside what queueing theory says of them, and beside cases worked out by hand."""

import random
from collections import deque
from statistics import fmean

import pytest
import simpy

from benchmarks.capacity.stations import SHORT_S, Check, Commit, Committer, Curve, FullError, Linger, Loop, Server, Steps

SERVICE = 1.0
COUNT = 20_000


def queued(
    rate: float, *, deterministic: bool, turn: float = float("inf"), places: int = 1, count: int = COUNT
) -> tuple[float, float, float]:
    """Of a queue with Poisson arrivals: mean time inside, mean number inside, utilisation."""
    env, draw = simpy.Environment(), random.Random(4)
    server, taken = Server(env, places, turn), list[float]()

    def one() -> Steps:
        since = env.now
        yield from server.work(SERVICE if deterministic else draw.expovariate(1 / SERVICE))
        taken.append(env.now - since)

    def arrive() -> Steps:
        for _ in range(count):
            yield env.timeout(draw.expovariate(rate))
            env.process(one())

    env.process(arrive())
    env.run()
    return fmean(taken), sum(taken) / env.now, server.busy / (env.now * places)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_a_server_waits_as_the_formulas_of_m_m_1_and_m_d_1_say(rate: float) -> None:
    """Pollaczek-Khinchine: W = S + r S (1 + c2) / (2 (1 - r)), c2 = 1 for exponential service and 0 for constant."""
    for deterministic, variation in ((False, 1.0), (True, 0.0)):
        taken, _, used = queued(rate, deterministic=deterministic)
        expected = SERVICE + rate * SERVICE * (1 + variation) / (2 * (1 - rate))
        assert taken == pytest.approx(expected, rel=0.08)
        assert used == pytest.approx(rate, rel=0.03)


def test_the_laws_of_little_and_of_utilisation_hold_with_several_places() -> None:
    """M/M/2: W = S / (1 - r2), r the utilisation."""
    rate = 1.2
    taken, inside, used = queued(rate, deterministic=False, places=2)
    assert taken == pytest.approx(SERVICE / (1 - 0.6**2), rel=0.08)
    assert inside == pytest.approx(rate * taken, rel=0.03)
    assert used == pytest.approx(0.6, rel=0.03)


def test_short_turns_share_a_core_whatever_the_work_looks_like() -> None:
    """Processor sharing: S / (1 - r), also for constant work, which a queue would serve in less."""
    taken, _, _ = queued(0.6, deterministic=True, turn=0.1, count=10_000)
    assert taken == pytest.approx(SERVICE / 0.4, rel=0.08)


def test_who_has_had_a_turn_goes_to_the_back() -> None:
    env = simpy.Environment()
    cores, ends = Server(env, turn=2.0), dict[str, float]()

    def one(name: str, seconds: float) -> Steps:
        yield from cores.work(seconds)
        ends[name] = env.now

    for name, seconds in (("long", 5.0), ("short", 1.0), ("even", 2.0)):
        env.process(one(name, seconds))
    env.run()
    assert ends == {"short": 3.0, "even": 5.0, "long": 8.0}  # long 0-2, short 2-3, even 3-5, long 5-8
    assert cores.busy == 8.0


def test_a_loop_goes_on_without_leaving_its_core() -> None:
    env = simpy.Environment()
    cores, ends = Server(env, turn=5.0), list[tuple[str, float]]()
    loop = Loop(env, cores)

    def ask(name: str, seconds: float) -> Steps:
        yield loop.compute(seconds)
        ends.append((name, env.now))

    def other() -> Steps:
        yield env.timeout(0.5)
        yield from cores.work(1.0)
        ends.append(("other", env.now))

    env.process(ask("first", 2.0))
    env.process(other())
    env.process(ask("second", 2.0))
    env.process(ask("third", 2.0))
    env.run()
    assert ends == [("first", 2.0), ("second", 4.0), ("other", 6.0), ("third", 7.0)]  # its turn ends within the third
    assert loop.busy == 7.0


def test_a_check_takes_what_has_gathered() -> None:
    """Calls cost 1 and 0.5 a content: one alone (0-1.5), then the four that came meanwhile, three at most together."""
    env, ends = simpy.Environment(), list[tuple[int, float]]()
    check = Check(env, Server(env), Curve.line(1.0, 0.5), 3, 100)

    def one(name: int, at: float) -> Steps:
        yield env.timeout(at)
        yield check.ask()
        ends.append((name, env.now))

    for name, at in enumerate((0.0, 0.2, 0.4, 0.6, 0.8)):
        env.process(one(name, at))
    env.run()
    assert ends == [(0, 1.5), (1, 4.0), (2, 4.0), (3, 4.0), (4, 5.5)]
    assert (check.seen.calls, check.seen.items) == (3, 5)
    assert check.seen.busy == 5.5


def test_only_one_kind_shares_a_call_and_others_keep_their_place() -> None:
    env, ends = simpy.Environment(), list[tuple[int, float]]()
    check = Check(env, Server(env), Curve.line(1.0, 0.0), 10, 100)

    def one(name: int, kind: int) -> Steps:
        yield check.ask(kind)
        ends.append((name, env.now))

    for name, kind in enumerate((0, 1, 0, 1)):
        env.process(one(name, kind))
    env.run()
    assert ends == [(0, 1.0), (2, 1.0), (1, 2.0), (3, 2.0)]


def test_a_full_line_refuses_and_prompts_have_less_room() -> None:
    env = simpy.Environment()
    check = Check(env, Server(env), Curve.line(1.0, 0.0), 10, 4)
    for _ in range(3):
        check.ask(share=0.75)
    with pytest.raises(FullError):
        check.ask(share=0.75)
    check.ask()
    with pytest.raises(FullError):
        check.ask()
    assert check.seen.refused == 2


def test_committers_take_turns_at_the_lock_and_their_groups_grow() -> None:
    """Two processes, of which each commit holds the lock for a second: what comes meanwhile goes into the next one."""
    env, ends = simpy.Environment(), list[float]()
    lock = Server(env)
    nothing = Curve.line(0.0, 0.0)
    both = [
        Committer(env, Server(env), lock, Commit(nothing, nothing, Curve.line(1.0, 0.0)), 512, 4096, Linger()) for _ in range(2)
    ]

    def one(committer: Committer, at: float) -> Steps:
        yield env.timeout(at)
        yield committer.ask()
        ends.append(env.now)

    for committer in both:
        for at in (0.0, 0.1, 0.2, 0.3):
            env.process(one(committer, at))
    env.run()
    assert [round(end, 3) for end in ends] == [1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0]
    assert [one.seen.calls for one in both] == [2, 2]
    assert lock.busy == 4.0


def test_curves_go_through_what_was_measured() -> None:
    curve = Curve(((1, 10.0), (8, 24.0), (32, 120.0)))
    assert [curve(size) for size in (1, 4.5, 8, 20, 32, 64)] == [10.0, 17.0, 24.0, 72.0, 120.0, 248.0]
    assert (curve.each(8), curve.marginal) == (3.0, 4.0)
    assert Curve(((4, 8.0),))(6) == 12.0
    assert Curve(((4, 8.0),)).marginal == 2.0
    assert Curve.line(3.0, 2.0)(10) == pytest.approx(23.0)


def test_work_tells_when_each_piece_is_done() -> None:
    env = simpy.Environment()
    server, done = Server(env, turn=1.5), [env.event(), env.event()]
    pieces = deque[tuple[float, simpy.Event | None]]([(1.0, done[0]), (2.0, done[1])])
    env.process(server.work_off(pieces))
    seen = list[float]()
    for one in done:
        assert one.callbacks is not None
        one.callbacks.append(lambda _: seen.append(env.now))
    env.run()
    assert seen == [1.0, 3.0]


def test_who_has_the_lock_shares_a_core_with_who_does_not_need_it() -> None:
    """Two with the lock in turns, and one without it: that one has half of the core, not a third."""
    env = simpy.Environment()
    cores, ends = Server(env, turn=1.0), dict[str, float]()
    lock = Server(env, turn=2.0, under=cores)

    def one(name: str, where: Server, seconds: float) -> Steps:
        yield from where.work(seconds)
        ends[name] = env.now

    for name in ("first", "second"):
        env.process(one(name, lock, 4.0))
    env.process(one("native", cores, 4.0))
    env.run()
    assert ends["native"] == pytest.approx(7.0)  # each second turn, from the first on or from the second on
    assert sorted(ends) == ["first", "native", "second"]
    assert max(ends.values()) == pytest.approx(cores.busy) == 12.0
    assert lock.busy == pytest.approx(8.0)


def test_a_check_takes_its_batch_when_it_has_the_lock_and_computes_the_rest_without_it() -> None:
    env, ends = simpy.Environment(), list[float]()
    cores = Server(env, turn=1.0)
    lock = Server(env, turn=5.0, under=cores)
    check = Check(env, lock, Curve.line(0.0, 1.0), 32, 64, cores=cores, native=0.75)

    def one(at: float) -> Steps:
        yield env.timeout(at)
        yield check.ask()
        ends.append(env.now)

    env.process(lock.work(2.0))  # meanwhile three more come
    for at in (0.1, 0.5, 1.0, 1.5):
        env.process(one(at))
    env.run()
    assert check.seen.calls == 1
    assert ends == [pytest.approx(6.0)] * 4
    assert (lock.busy, cores.busy) == (pytest.approx(3.0), pytest.approx(6.0))


def test_who_is_in_a_hurry_waits_for_a_short_turn_alone() -> None:
    """Others have a turn of one; the urgent one comes at 0.5, and goes before who waits already."""
    env = simpy.Environment()
    cores, ends = Server(env, turn=1.0), dict[str, float]()

    def one(name: str, at: float, *, urgent: bool = False) -> Steps:
        yield env.timeout(at)
        yield from cores.work(2.0 if not urgent else 0.25, urgent=urgent)
        ends[name] = env.now

    env.process(one("first", 0.0))
    env.process(one("second", 0.1))
    env.process(one("urgent", 0.5, urgent=True))
    env.run()
    assert ends["urgent"] == pytest.approx(0.5 + SHORT_S + 0.25)
    assert ends["second"] < ends["first"] == pytest.approx(4.25)
    assert cores.busy == pytest.approx(4.25)

"""Wall time hangs on monotonic time: a step of the system's clock breaks no order, and is followed once trusted."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.clock import Clock, boot_id, synchronised

DAY_S = 86_400.0
MONDAY = 1_700_000_000.0


class World:
    """A machine whose clocks the test moves: `system` is what the kernel says the time is, right or wrong."""

    def __init__(self, *, disciplined=False, system=MONDAY):
        self.monotonic, self.system, self.slept, self.disciplined = 1000.0, system, 0.0, disciplined

    def clock(self, **options):
        return Clock(
            system_s=lambda: self.system,
            monotonic_s=lambda: self.monotonic,
            sleeping_s=lambda: self.slept,
            disciplined=lambda: self.disciplined,
            **options,
        )

    def goes(self, seconds):
        self.monotonic += seconds
        self.system += seconds

    def sleeps(self, seconds):
        self.slept += seconds
        self.system += seconds


def test_it_tells_the_systems_time():
    """A tenth of a second of slack for a machine that is busy between the two readings."""
    assert Clock().wall(time.monotonic()) == pytest.approx(time.time(), abs=0.1)
    assert Clock().now() == pytest.approx(time.time(), abs=0.1)


def test_a_quiet_clock_has_nothing_to_say():
    world = World()
    clock = world.clock()
    for _ in range(3):
        world.goes(10)
        assert clock.look() is None
    assert clock.now() == MONDAY + 30


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S, 1.0, -1.0])
def test_an_untrusted_step_is_seen_at_the_next_look_and_not_followed(step_s):
    world = World()
    clock = world.clock()
    world.goes(5)
    before = clock.now()
    world.system += step_s
    change = clock.look()
    assert (change.step_s, change.followed, change.trusted) == (step_s, False, False)
    assert clock.look() is None, "one step is told once"
    world.goes(1)
    assert clock.now() == before + 1


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_wall_times_of_this_boot_are_told_anew_once_the_clock_is_trusted(step_s):
    world = World()
    clock = world.clock()
    early = clock.stamp()
    world.goes(60)
    world.system += step_s
    clock.look()
    world.goes(60)
    world.disciplined = True
    change = clock.look()
    assert change.followed and change.trusted and clock.trusted
    assert not early.trusted
    assert clock.wall(early.monotonic_s) == early.wall_s + step_s
    assert clock.now() == world.system


def test_a_clock_set_by_hand_is_no_longer_trusted_until_a_server_holds_it_again():
    world = World(disciplined=True)
    clock = world.clock()
    world.system -= DAY_S
    world.disciplined = False  # as the kernel has it after settimeofday
    change = clock.look()
    assert (change.followed, change.trusted) == (False, False)
    assert clock.now() == MONDAY
    world.system += DAY_S
    world.disciplined = True
    assert not clock.look().followed, "the time is what it was"
    assert clock.trusted


def test_a_clock_that_is_believed_always_is_followed_at_once():
    world = World()
    clock = world.clock(trust="system")
    start = clock.stamp()
    world.system += DAY_S
    change = clock.look()
    assert change.followed and change.trusted
    assert clock.wall(start.monotonic_s) == start.wall_s + DAY_S


def test_a_board_without_a_battery_starts_after_the_last_boot():
    world = World(system=MONDAY - 365 * DAY_S)
    assert world.clock(not_before=MONDAY).now() == MONDAY
    world.disciplined = True
    assert world.clock(not_before=MONDAY).now() == MONDAY - 365 * DAY_S, "a trusted clock is right"


def test_what_the_system_slept_counts_from_where_it_slept():
    world = World()
    clock = world.clock()
    world.goes(10)
    before = clock.stamp()
    world.sleeps(3600)
    world.goes(1)
    assert clock.look() is None
    assert clock.wall(before.monotonic_s) == before.wall_s
    assert clock.now() == world.system


moves = st.tuples(
    st.sampled_from(["goes", "sleeps", "steps", "trusts"]),
    st.floats(0.1, 2 * DAY_S),
    st.booleans(),
)


@given(st.lists(moves, max_size=30), st.booleans())
def test_no_history_of_steps_puts_a_later_moment_before_an_earlier_one(history, disciplined):
    world = World(disciplined=disciplined)
    clock = world.clock()
    moments = [world.monotonic]
    for kind, seconds, back in history:
        match kind:
            case "goes":
                world.goes(seconds)
            case "sleeps":
                world.sleeps(seconds)
            case "steps":
                world.system += -seconds if back else seconds
            case "trusts":
                world.disciplined = not back
        clock.look()
        moments.append(world.monotonic)
        walls = [clock.wall(moment) for moment in moments]
        assert walls == sorted(walls)
        if world.disciplined:
            assert clock.now() == pytest.approx(world.system, abs=0.051), "50 ms are no step"


def test_the_boot_has_one_name_and_the_kernel_can_be_asked():
    assert boot_id() == Clock().stamp().boot
    assert len(boot_id()) == 36
    assert synchronised() in (True, False)

"""`earmark demo`, the first thing that somebody types."""


def test_demo_prints_a_timeline_and_answers_two_searches(earmark):
    ran = earmark("demo")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert sum("–" in line and "█" in line for line in lines) >= 3, "stretches with a bar"
    searches = [at for at, line in enumerate(lines) if line.startswith("search: ")]
    assert len(searches) == 2
    assert all("–" in lines[at + 1] for at in searches), "each has a hit below it"
    assert "earmark listen" in lines[-5], "what to type next"
    assert not earmark.home.exists()


def test_demo_takes_a_recording_of_ones_own(earmark, twelve):
    ran = earmark("demo", twelve)
    assert (ran.code, ran.err) == (0, "")
    assert "heard 0:12" in ran.out
    assert ran.out.count("search: ") == 2

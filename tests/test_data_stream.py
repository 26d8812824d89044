"""Streams: who is filmed follows from step and rank alone."""

from __future__ import annotations

import pytest
import torch
from training_fakes import fake_cast, fake_film

from lca_mini.data.people import cast_of
from lca_mini.data.stream import SampleStream
from lca_mini.people.splits import split_of


def test_a_stream_begun_later_goes_on_where_another_stood():
    whole = SampleStream(fake_film, fake_cast, "wild", batch=2)
    samples = [next(whole) for _ in range(3)]
    resumed = SampleStream(fake_film, fake_cast, "wild", batch=2, position=2)
    again = next(resumed)
    assert torch.equal(again.images, samples[2].images) and resumed.state == whole.state == {"position": 3}


def test_ranks_share_each_step_without_overlap():
    alone = SampleStream(fake_film, fake_cast, "wild", batch=6)
    ranks = [SampleStream(fake_film, fake_cast, "wild", batch=2, rank=r, ranks=3) for r in range(3)]
    for step in (0, 5):
        assert torch.cat([stream.seeds(step) for stream in ranks]).tolist() == alone.seeds(step).tolist()


def test_mixed_people_come_from_both_sources_in_turn():
    stream = SampleStream(fake_film, fake_cast, "mixed", batch=1)
    assert [stream.kind_at(step) for step in range(4)] == ["wild", "studio", "wild", "studio"]


def test_a_cast_of_few_people_repeats_and_stays_in_its_split():
    seeds = cast_of("train", people=3)(torch.arange(7))
    assert seeds.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert {split_of(int(s)) for s in cast_of("test-wild")(torch.arange(5))} == {"test-wild"}


def test_echoes_film_less_see_recent_takes_again_and_resume_exactly():
    filmed = []

    def film(seeds, kind):
        filmed.append(int(seeds[0]) - 1000)
        return fake_film(seeds, kind)

    stream = SampleStream(film, fake_cast, "wild", batch=1, echo=3, pool=4)
    seen = [int(next(stream).seeds[0]) - 1000 for _ in range(60)]
    assert filmed == list(range(20)) and seen[::3] == list(range(20))
    assert all(step // 3 - 4 < take <= step // 3 for step, take in enumerate(seen)) and len(stream.kept) <= 4
    resumed = SampleStream(film, fake_cast, "wild", batch=1, echo=3, pool=4, position=31)
    assert [int(next(resumed).seeds[0]) - 1000 for _ in range(29)] == seen[31:]


@pytest.mark.parametrize("kind, echo", [("wild", 1), ("mixed", 1), ("mixed", 3)])
def test_takes_filmed_at_once_are_seen_as_if_filmed_one_by_one_and_resume_in_the_middle(kind, echo):
    calls = []

    def film(seeds, what):
        calls.append((seeds.tolist(), what))
        return fake_film(seeds, what)

    def seen(stream, steps):
        return [(sample.seeds.tolist(), sample.images.sum()) for sample in (next(stream) for _ in range(steps))]

    words = {"batch": 2, "rank": 1, "ranks": 2, "echo": echo, "pool": 4}
    one_by_one = seen(SampleStream(film, fake_cast, kind, **words), 36)
    apart, calls = calls, []
    assert seen(SampleStream(film, fake_cast, kind, **words, reel=3), 36) == one_by_one
    assert 3 * len(calls) == len(apart) and all(len(seeds) == 6 for seeds, _ in calls)
    assert {(s, what) for seeds, what in apart for s in seeds} == {(s, what) for seeds, what in calls for s in seeds}
    assert seen(SampleStream(film, fake_cast, kind, **words, reel=3, position=10), 26) == one_by_one[10:]


@pytest.mark.parametrize("change", [{"echo": 0}, {"reel": 0}, {"kind": "both"}, {"batch": 0}, {"rank": 1}, {"position": -1}])
def test_impossible_streams_are_refused(change):
    with pytest.raises(ValueError):
        SampleStream(**{"film": fake_film, "cast": fake_cast, "kind": "wild", "batch": 1, **change})

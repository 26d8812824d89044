"""Room that follows what it must hold, with recordings that only remember; on a GPU, CUDA graphs."""

from __future__ import annotations

import pytest
import torch

from lca_mini.recorded import LEAST_ROOM, ByRoom, record, room_for


def test_room_has_a_quarter_to_spare_and_not_much_more() -> None:
    for pairs in [*range(0, 200_000, 997), 3_203_065, 10**9]:
        room = room_for(pairs)
        assert room >= LEAST_ROOM and room % 2048 == 0
        assert 1.2499 * pairs <= room <= max(LEAST_ROOM, 1.25 * 1.25 * pairs + 1)
    assert room_for(200_657) == 262_144
    with pytest.raises(ValueError, match="touch 2000000000 tiles"):
        room_for(2 * 10**9)


def test_every_result_had_room_enough() -> None:
    recorded, ran = [], []

    def recording(room: int):
        recorded.append(room)
        return lambda: ran.append(room) or room

    work, needs = ByRoom(recording), [10_000, 13_000, 16_384, 16_385, 100_000, 95_000, 100, 100, 99_000]
    for needed in needs:
        queued = len(ran)
        room = work(lambda: needed if len(ran) == queued + (work.room is not None) else pytest.fail("asked too early"))
        assert room >= needed and ran[-1] == room  # the last run is the one handed out
    first, second, third = room_for(10_000), room_for(16_385), room_for(100_000)
    assert recorded == [first, second, third]  # once each: a room that was needed before is there
    assert ran == [first] * 3 + [first, second] + [second, third] + [third] * 2 + [first] + [first, third]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recording_makes_its_result_anew() -> None:
    source = torch.zeros(4, device="cuda")
    graph, made = record(lambda: source + 1)
    other, twice = record(lambda: 2 * source, pool=graph.pool())
    for value in (3.0, 5.0):
        source.fill_(value)
        graph.replay()
        other.replay()
        assert made.tolist() == [value + 1] * 4 and twice.tolist() == [2 * value] * 4

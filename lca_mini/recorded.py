"""CUDA graphs: work recorded once and then launched as one, also where its size is known only afterwards.

Enters: functions that queue work on a GPU. Leaves: graphs of it. No part of the paper.
"""

from __future__ import annotations

from typing import Any, Callable, Generic, TypeVar

import torch

T = TypeVar("T")
WARM_UP = 3  # runs before a recording: they compile kernels and choose cuBLAS's
LEAST_ROOM = 2**14  # above what torch sorts by other means than a radix sort
SPARE = 1.25  # slots for a pair that was there when room was made, at least


def record(work: Callable[[], T], warm_up: int = WARM_UP, pool: Any = None) -> tuple[torch.cuda.CUDAGraph, T]:
    """Warm up on a side stream, as captures ask for, then record one run.

    Args:
        pool: of another graph (`graph.pool()`), whose memory this one may use too where the two never run at a time.
    Returns: the graph, and what `work` returned, which each replay makes anew in the same place.
    """
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(warm_up):
            work()
    current.wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # other threads may go on meanwhile
        made = work()
    return graph, made


def room_for(pairs: int) -> int:
    """Slots for so many pairs of a Gaussian and a tile, and at least a quarter more; a multiple of 2048.

    Raises: ValueError where 32 bits do not number them.
    """
    wanted = max(LEAST_ROOM, int(SPARE * pairs))
    step = 2 ** ((wanted - 1).bit_length() - 3)  # an eighth to a quarter of it
    room = -(-wanted // step) * step
    if room >= 2**31:
        raise ValueError(f"the Gaussians touch {pairs} tiles, too many for one call; draw fewer frames or a smaller picture")
    return room


class ByRoom(Generic[T]):
    """Work that must be told beforehand how much it has to hold: done with the room of the last call, and done again
    with more where that was too little. So what a call returns has always had room enough.

    A recording for each room that was needed stays; far too much room is left for less at the next call.
    """

    def __init__(self, recorded: Callable[[int], Callable[[], T]]) -> None:
        """recorded: from a room, what does the work within it, again and again."""
        self.recorded, self.ways = recorded, {}
        self.room: int | None = None

    def way(self, room: int) -> Callable[[], T]:
        """What does the work within a room."""
        if room not in self.ways:
            self.ways[room] = self.recorded(room)
        return self.ways[room]

    def __call__(self, ask: Callable[[], int]) -> T:
        """ask: waits until it is known how much there is to hold, called once the work is queued."""
        made = None if self.room is None else self.way(self.room)()
        needed = ask()
        if self.room is None or needed > self.room:
            self.room = room_for(needed)
            return self.way(self.room)()
        if 2 * room_for(needed) < self.room:
            self.room = room_for(needed)
        return made

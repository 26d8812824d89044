"""What `Live` may be asked for, and what "auto" means.

Enters: a wish, and what is there. Leaves: a choice, or one sentence why it cannot be. No part of the paper.
"""

from __future__ import annotations

from importlib.util import find_spec

LISTS = ("fixed", "gsplat")
BLENDING = ("parts", "gsplat")
MOST = 2**24  # Gaussians of all images together that the words of lists for parts number


def choose_lists(lists: str, staged: bool) -> str | None:
    """What "auto" means. Raises: ValueError, one sentence, for what cannot be."""
    if lists not in ("auto", *LISTS):
        raise ValueError(f"no lists {lists!r}; choose auto or one of {', '.join(LISTS)}")
    if not staged:
        if lists != "auto":
            raise ValueError(f'lists "{lists}" are for the gsplat backend; take "auto"')
        return None
    triton = find_spec("triton") is not None
    if lists == "fixed" and not triton:
        raise ValueError('lists "fixed" need Triton, which is not installed; take "gsplat"')
    return lists if lists != "auto" else "fixed" if triton else "gsplat"


def choose_blending(blending: str, lists: str | None, splats: int) -> str | None:
    """What "auto" means for so many Gaussians. Raises: ValueError, one sentence, for what cannot be."""
    if blending not in ("auto", *BLENDING):
        raise ValueError(f"no blending {blending!r}; choose auto or one of {', '.join(BLENDING)}")
    if lists is None and blending != "auto":
        raise ValueError(f'blending "{blending}" is for the gsplat backend; take "auto"')
    if blending == "parts" and lists == "gsplat":
        raise ValueError('blending "parts" needs lists "fixed"; take blending "gsplat"')
    if blending == "parts" and splats > MOST:
        raise ValueError(f'blending "parts" numbers {MOST} Gaussians, here are {splats}; take blending "gsplat"')
    if lists is None or blending != "auto":
        return None if lists is None else blending
    return "parts" if lists == "fixed" and splats <= MOST else "gsplat"

"""Names of the SMPL-X joints and of the 52 facial actions, in the order every array of the library uses.

Enters: nothing. Leaves: `JOINTS`, `PARENTS`, `ACTIONS`, `MIRRORED`.
"""

from __future__ import annotations

_BODY = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "jaw left_eye right_eye"
).split()
_FINGERS = [f"{finger}{i}" for finger in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3)]

JOINTS: tuple[str, ...] = tuple(_BODY + [f"left_{f}" for f in _FINGERS] + [f"right_{f}" for f in _FINGERS])

PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
)  # fmt: skip

_SIDED = {
    "brow": "Down OuterUp", "cheek": "Squint", "eye": "Blink LookDown LookIn LookOut LookUp Squint Wide",
    "mouth": "Dimple Frown LowerDown Press Smile Stretch UpperUp", "nose": "Sneer",
}  # fmt: skip
_SINGLE = (
    "browInnerUp cheekPuff jawForward jawLeft jawOpen jawRight mouthClose mouthFunnel mouthLeft mouthPucker mouthRight "
    "mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper tongueOut"
).split()

ACTIONS: tuple[str, ...] = tuple(
    sorted(
        _SINGLE
        + [f"{part}{move}{side}" for part, moves in _SIDED.items() for move in moves.split() for side in ("Left", "Right")]
    )
)
"""The 52 facial actions, named as ARKit names them, in alphabetical order; each goes from 0 to 1."""

_SWAPPED = [a.replace("Left", "Right") if "Left" in a else a.replace("Right", "Left") for a in ACTIONS]
MIRRORED: tuple[int, ...] = tuple(ACTIONS.index(name) for name in _SWAPPED)
"""Which action each one is in a mirror: the same on the other side, itself where it has no side."""

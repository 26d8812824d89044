"""A vocabulary of postures: what arms, legs, hands and faces do, in degrees and in facial actions.

Enters: nothing. Leaves: tables by name, which `motion.py` mixes. Not part of the paper, whose people move themselves.

Angles are those of the left side; the right side mirrors them. Zero is the T-pose.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lca_mini.body.names import ACTIONS

# lower (0 T-pose, 90 hanging), forward, twist (positive turns the forearm down), elbow,
# forearm twist (positive turns the palm back), wrist curl, wrist towards the thumb
ARMS: dict[str, tuple[float, ...]] = {
    "hang": (66, 4, 5, 14, 0, 4, 0),
    "ready": (62, 8, 10, 32, 0, 2, 0),
    "away": (45, 2, 0, 8, 0, 0, 0),
    "wide": (12, 8, 0, 10, 0, 0, 0),
    "hips": (42, -10, 56, 84, 0, 10, 0),
    "offer": (56, 20, -8, 78, -60, -5, 0),
    "clasp": (58, 24, 34, 62, 10, 5, 0),
    "explain": (50, 26, 8, 92, -25, -10, 0),
    "wave": (8, 12, -82, 88, 20, -8, 0),
    "greet": (40, 20, -40, 110, 25, -10, 0),
    "point": (10, 68, 0, 8, 10, 0, 0),
    "aside": (18, 8, 0, 4, -30, 0, 0),
    "show": (38, 34, 20, 100, -55, -10, 5),
    "up": (-58, 12, -10, 14, 0, 0, 0),
    "cheer": (-30, 14, -60, 62, 10, 0, 0),
    "back": (58, -24, 6, 10, 0, 0, 0),
    "stop": (14, 62, -10, 22, 10, -55, 0),
    "run": (58, 14, 8, 88, 0, 0, 0),
}

# hip flexion, hip spread, turn of the leg outwards, knee
LEGS: dict[str, tuple[float, ...]] = {
    "straight": (0, 2, 6, 2),
    "spread": (2, 11, 12, 3),
    "bent": (14, 5, 12, 26),
    "front": (24, 3, 4, 14),
    "rear": (-14, 3, 10, 14),
    "raise": (58, 5, 8, 72),
    "kick": (42, 4, 4, 18),
    "sit": (62, 10, 12, 76),
    "side": (4, 24, 10, 4),
}

# curl of index, middle, ring, pinky (0 straight, 1 in the palm), spread, thumb curl, thumb across the palm
HANDS: dict[str, tuple[float, ...]] = {
    "relaxed": (0.18, 0.26, 0.32, 0.36, 0.1, 0.15, 0.15),
    "open": (0.0, 0.0, 0.0, 0.02, 0.45, 0.0, 0.0),
    "flat": (0.03, 0.03, 0.03, 0.03, 0.0, 0.1, 0.1),
    "fist": (0.95, 1.0, 1.0, 1.0, 0.0, 0.75, 0.9),
    "point": (0.02, 0.95, 1.0, 1.0, 0.0, 0.7, 0.85),
    "peace": (0.02, 0.02, 1.0, 1.0, 0.6, 0.75, 0.9),
    "thumb": (0.95, 1.0, 1.0, 1.0, 0.0, -0.2, -0.3),
    "three": (0.02, 0.02, 0.04, 1.0, 0.45, 0.75, 0.9),
    "four": (0.0, 0.0, 0.0, 0.04, 0.45, 0.75, 0.9),
    "grip": (0.5, 0.55, 0.6, 0.62, 0.0, 0.4, 0.5),
    "pinch": (0.48, 0.22, 0.16, 0.12, 0.2, 0.35, 0.75),
    "horns": (0.02, 1.0, 1.0, 0.04, 0.1, 0.7, 0.85),
}

# facial actions; a name without Left or Right stands for both sides
FACES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.25, "mouthDimple": 0.2},
    "laugh": {"mouthSmile": 1.0, "jawOpen": 0.5, "cheekSquint": 0.9, "eyeSquint": 0.5, "mouthUpperUp": 0.4},
    "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.6},
    "anger": {"browDown": 1.0, "eyeSquint": 0.6, "noseSneer": 0.6, "mouthPress": 0.7, "jawForward": 0.3},
    "snarl": {"browDown": 0.9, "noseSneer": 1.0, "mouthUpperUp": 0.9, "mouthLowerDown": 0.6, "jawOpen": 0.2},
    "sad": {"browInnerUp": 0.9, "mouthFrown": 0.8, "mouthShrugLower": 0.5, "eyeSquint": 0.2},
    "disgust": {"noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "cheekSquint": 0.5},
    "fear": {"browInnerUp": 0.9, "eyeWide": 1.0, "mouthStretch": 0.8, "jawOpen": 0.3},
    "pucker": {"mouthPucker": 1.0, "mouthFunnel": 0.2},
    "blow": {"cheekPuff": 1.0, "mouthPucker": 0.4, "mouthClose": 0.1},
    "shout": {"jawOpen": 1.0, "mouthStretch": 0.3, "mouthLowerDown": 0.6, "mouthUpperUp": 0.4, "browDown": 0.3},
    "blink": {"eyeBlink": 1.0},
    "squeeze": {"eyeBlink": 1.0, "eyeSquint": 0.9, "browDown": 0.8, "cheekSquint": 0.8, "mouthPress": 0.4},
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.7, "mouthSmileLeft": 0.6},
    "smirk": {"mouthSmileRight": 0.8, "mouthDimpleRight": 0.5, "browOuterUpRight": 0.6},
    "doubt": {"browOuterUpLeft": 1.0, "browDownRight": 0.7, "mouthShrugUpper": 0.4, "mouthShrugLower": 0.5},
    "skew": {"mouthLeft": 0.8, "jawLeft": 0.5},
    "chew": {"mouthRight": 0.5, "jawRight": 0.7, "mouthClose": 0.0},
    "tongue": {"tongueOut": 1.0, "jawOpen": 0.45},
    "bite": {"mouthRollLower": 0.9, "jawOpen": 0.1},
    "seal": {"mouthRollLower": 0.6, "mouthRollUpper": 0.7, "mouthPress": 0.4},
    "aa": {"jawOpen": 0.6, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},
    "ee": {"mouthSmile": 0.4, "mouthStretch": 0.5, "jawOpen": 0.2, "mouthLowerDown": 0.4},
    "oo": {"mouthFunnel": 0.8, "mouthPucker": 0.5, "jawOpen": 0.25},
    "mm": {"mouthPress": 0.4, "mouthRollUpper": 0.3, "mouthRollLower": 0.3},
    "ff": {"mouthRollLower": 0.5, "mouthUpperUp": 0.3, "jawOpen": 0.1},
}
MILD = tuple("neutral neutral smile smile laugh surprise sad aa ee oo mm ff doubt smirk".split())


def actions_of(name: str) -> Tensor:
    """The 52 facial actions of a face in `FACES`, [52]."""
    out = torch.zeros(len(ACTIONS))
    for action, value in FACES[name].items():
        for full in (action,) if action in ACTIONS else (action + "Left", action + "Right"):
            out[ACTIONS.index(full)] = value
    return out


def table(entries: dict[str, tuple[float, ...]], names: tuple[str, ...] | None = None) -> Tensor:
    """Rows of a vocabulary, all or those named, [entries numbers]."""
    return torch.tensor([entries[n] for n in names or entries], dtype=torch.float32)

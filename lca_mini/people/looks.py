"""What somebody looks like apart from their shape: colours, hair, clothes, all drawn from the seed.

Enters: seeds and traits. Leaves: `Looks`, numbers that the procedural materials (`skin.py`, `cloth.py`) and the meshes
(`crowd.py`) read. Not part of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.chance import normals, uniforms
from lca_mini.capture.shading import srgb_to_linear
from lca_mini.people import cuts
from lca_mini.people.extras import Extras, colors, extras_of, new_patterns
from lca_mini.people.shape import Traits

HAIRDOS = ("bald", "buzz", "short", "full", "afro", "bob", "long", "ponytail", "bun")
PATTERNS = ("plain", "hoops", "stripes", "checks", "dots", "print", "heather", "band", "badge", "blocks",
            "plaid", "floral", "denim", "knit", "letters", "emblem")  # fmt: skip
_CHANCES = {  # of HAIRDOS, for men and women
    0: (0.09, 0.16, 0.38, 0.22, 0.08, 0.02, 0.02, 0.01, 0.02),
    1: (0.01, 0.02, 0.10, 0.08, 0.07, 0.24, 0.24, 0.13, 0.11),
}
_HAIR = ((30, 25, 23), (42, 31, 25), (58, 40, 28), (96, 66, 42), (140, 104, 66), (196, 160, 108), (150, 66, 30))
_SHARES = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6)  # how common each is
_DYED = ((160, 40, 60), (60, 80, 150), (200, 110, 150), (50, 120, 110))
_IRIS = ((52, 30, 16), (82, 50, 24), (116, 84, 42), (84, 104, 62), (92, 122, 146), (122, 138, 148))
_CLOTH = (
    (242, 240, 234), (226, 218, 200), (24, 24, 27), (58, 60, 66), (122, 124, 128), (178, 180, 182), (28, 38, 66),
    (44, 70, 120), (92, 134, 182), (170, 198, 220), (120, 30, 36), (188, 50, 48), (214, 112, 62), (230, 176, 72),
    (240, 214, 140), (40, 78, 58), (86, 112, 74), (156, 178, 140), (92, 62, 110), (168, 140, 190), (222, 150, 164),
    (244, 204, 206), (100, 68, 46), (160, 122, 86), (204, 176, 140), (30, 110, 118), (118, 180, 178), (196, 62, 112),
)  # fmt: skip
_LEGWEAR = ((28, 34, 52), (46, 62, 96), (82, 106, 146), (22, 22, 24), (62, 62, 66), (120, 118, 114), (176, 158, 128),
            (206, 196, 176), (84, 74, 52), (70, 46, 36), (226, 224, 218), (60, 76, 60))  # fmt: skip
_SHOES = (
    (24, 22, 22),
    (236, 236, 232),
    (70, 44, 30),
    (120, 80, 50),
    (40, 50, 80),
    (150, 40, 44),
    (150, 152, 154),
    (200, 176, 140),
)
_SKIN = ((0.80, 0.545, 0.42), (0.44, 0.225, 0.135), (0.070, 0.032, 0.020))  # linear: fair, middle, dark


@dataclass(frozen=True)
class Looks(Extras):
    """Colours are linear. Amounts are in [0, 1]. cuts: where sleeve, hem, waist, leg, skirt and shoe end, metres on the
    template. hair_depth: metres on top and at the sides. phase: shift of all noise. tucked: the top goes into the
    waist. whiskers: the colour of a beard.
    """

    skin: Float[Tensor, "B 3"]
    lips: Float[Tensor, "B 3"]
    iris: Float[Tensor, "B 3"]
    hair: Float[Tensor, "B 3"]
    whiskers: Float[Tensor, "B 3"]
    brows: Float[Tensor, "B 4"]  # colour, and weight
    blush: Float[Tensor, " B"]
    freckles: Float[Tensor, " B"]
    age: Float[Tensor, " B"]
    female: Float[Tensor, " B"]
    beard: Float[Tensor, "B 2"]  # stubble, and full beard
    hairdo: Int[Tensor, " B"]
    hair_depth: Float[Tensor, "B 2"]
    curl: Float[Tensor, " B"]
    recede: Float[Tensor, " B"]
    grown: Float[Tensor, " B"]  # how much of the scalp's hair there is
    length: Float[Tensor, " B"]
    colors: Float[Tensor, "B 4 3 3"]  # garment, then three colours
    pattern: Int[Tensor, "B 4"]
    scale: Float[Tensor, "B 4"]
    neckline: Int[Tensor, " B"]
    cuts: Float[Tensor, "B 6"]
    skirted: Bool[Tensor, " B"]
    dress: Bool[Tensor, " B"]
    tucked: Bool[Tensor, " B"]
    belt: Bool[Tensor, " B"]
    loose: Float[Tensor, "B 2"]
    phase: Float[Tensor, "B 3"]


def looks_of(seeds: Int[Tensor, " B"], traits: Traits) -> Looks:
    """The looks of each seed, on the CPU."""
    seeds = seeds.cpu()
    u, n = uniforms(seeds, 2, 64), normals(seeds, 3, 16)
    female, count = traits.female > 0.5, len(seeds)
    old = ((traits.age - 40) / 35).clamp(0, 1)

    melanin = (traits.ancestry @ torch.tensor([0.86, 0.40, 0.16]) + 0.10 * n[:, 0]).clamp(0, 1)
    skin = _tone(melanin) * torch.exp(0.06 * n[:, 1:2].clamp(-0.6, 2) * torch.tensor([0.3, -1.0, -1.2]))
    rosy = torch.where(female, 0.45 + 0.55 * u[:, 0], 0.25 * u[:, 0])[:, None]
    lips = skin * torch.tensor([0.92, 0.60, 0.62]).pow(0.8 + 0.7 * rosy) * (1 + 0.1 * melanin[:, None])
    painted = female & (u[:, 1] < 0.25)
    lips = torch.where(
        painted[:, None], colors(((150, 30, 45), (176, 70, 80), (120, 24, 50), (190, 90, 90)), u[:, 2]), lips
    )

    fair = (traits.ancestry[:, 2] * 1.25 - 0.1).clamp(0, 1)
    shade = torch.where(u[:, 3] < fair, u[:, 4] * 15.99, u[:, 4] * 4.5).long()
    hair = srgb_to_linear(torch.tensor(_HAIR, dtype=torch.float32)[torch.tensor(_SHARES)[shade]] / 255)
    grey = ((1.7 * old - 0.45 + 0.2 * n[:, 2]).clamp(0, 1) * (u[:, 5] < 0.75))[:, None]  # half at 60 years
    silver = srgb_to_linear(torch.tensor([168.0, 166, 164]) / 255) * (0.75 + 0.5 * u[:, 6:7])
    natural = hair * (1 - grey) + silver * grey
    dyed = (u[:, 7] < 0.05)[:, None]
    hair = torch.where(dyed, colors(_DYED, u[:, 8]), natural)
    brow = natural * (0.22 / natural.amax(1, keepdim=True)).clamp(max=0.75)
    brows = torch.cat(
        [brow, torch.where(female, 0.5 + 0.4 * u[:, 9], 0.65 + 0.35 * u[:, 9])[:, None]], 1
    )
    eye = torch.where(u[:, 10] < fair * 0.9, u[:, 11] * 5.99, u[:, 11] * 1.8).long()
    iris = srgb_to_linear(torch.tensor(_IRIS, dtype=torch.float32)[eye] / 255)

    hairdo = _choose(u[:, 12], torch.tensor([_CHANCES[0], _CHANCES[1]])[female.long()])
    curly = traits.ancestry[:, 0] > 0.5
    hairdo = torch.where((hairdo == 4) & ~curly, 3, hairdo)
    hairdo = torch.where((hairdo >= 5) & curly & (u[:, 13] < 0.35), 4, hairdo)
    depth = torch.tensor([(0, 0), (0.004, 0.003), (0.016, 0.008), (0.030, 0.015), (0.055, 0.042), (0.020, 0.005),
                          (0.020, 0.005),
                          (0.010, 0.007), (0.010, 0.007)])[hairdo] * (0.8 + 0.5 * u[:, 14:15])  # fmt: skip
    curl = torch.where(curly, 0.6 + 0.4 * u[:, 15], (u[:, 15] - 0.65).clamp(min=0) * 1.6)
    recede = torch.where(female, torch.zeros(count), (old * u[:, 16] * 1.1 + 0.25 * (u[:, 17] < 0.2)).clamp(0, 1))
    fringe = ((hairdo == 2) | (hairdo == 3) | (hairdo == 5) | (hairdo == 6)) & (
        u[:, 63] < torch.where(female, 0.4, 0.3)
    )
    recede = torch.where(fringe & (recede < 0.1), -0.4 - 0.6 * u[:, 16], recede)
    bearded = ~female & (u[:, 18] < 0.38)
    beard = torch.stack(
        [torch.where(female, torch.zeros(count), u[:, 19].square() * 0.75), bearded * (0.5 + 0.5 * u[:, 20])], 1
    )

    skirted = female & (u[:, 21] < 0.33)
    dress = skirted & (u[:, 22] < 0.5)
    tucked = torch.where(skirted, (u[:, 23] < 0.7) | dress, u[:, 23] < 0.22)
    pick = lambda values, r: torch.tensor(values)[(r * len(values)).long()]  # noqa: E731
    sleeves_her, sleeves_his = (0.215, 0.30, 0.345, 0.345, 0.53, 0.645), (0.345, 0.345, 0.41, 0.645, 0.645)
    sleeves = torch.where(female, pick(sleeves_her, u[:, 24]), pick(sleeves_his, u[:, 24]))
    hems = torch.where(tucked, torch.full((count,), cuts.HEMS[0]), pick(cuts.HEMS[1:], u[:, 25]))
    legs = pick((-0.80, -0.80, -0.80, -0.80, -0.68, -0.42, -0.28), torch.where(female, u[:, 26], u[:, 26] * 0.93))
    shoes = torch.where(skirted, pick(cuts.SHOES, u[:, 27]), pick((-0.775, -0.775, -0.775, -0.822), u[:, 27]))
    lengths = torch.stack([sleeves, hems, pick(cuts.WAISTS, u[:, 28]), legs, pick(cuts.SKIRTS, u[:, 29]), shoes], 1)
    neckline = torch.where(female, pick((0, 1, 2, 2, 3), u[:, 30]), pick((0, 0, 0, 1, 3), u[:, 30]))

    palette, pattern, scale = _outfit(u[:, 31:56], dress)
    extras = extras_of(seeds, female, dress, old, hairdo, u[:, 59], curl, u[:, 61])
    pattern = new_patterns(seeds, pattern, PATTERNS, dress)
    palette = _unstained(palette, pattern)
    pattern[:, 0] = torch.where((extras.layer > 0) & (pattern[:, 0] >= PATTERNS.index("letters")), 0, pattern[:, 0])
    lengths[:, :2] = _layered(lengths[:, :2], extras.layer, u[:, 24])
    lengths[:, 4] = torch.where((lengths[:, 4] < -0.6) & (u[:, 26] < 0.4), -0.76, lengths[:, 4])  # as long as there is
    covered = torch.tensor([1.0, 0.006, 0.006, 0.006, 0.002])[extras.headwear]
    depth = torch.minimum(depth, covered[:, None])  # hats press the hair
    tucked = tucked & ((extras.layer == 0) | (extras.layer == 4))
    neckline = torch.where(extras.layer == 4, 0, neckline)
    return Looks(
        **vars(extras),
        skin=skin, lips=lips, iris=iris, hair=hair, whiskers=natural, brows=brows,
        blush=rosy[:, 0] * (0.4 + 0.6 * u[:, 56]),
        freckles=(u[:, 57] < 0.3 * fair).float() * u[:, 58], age=old, female=female.float(), beard=beard, hairdo=hairdo,
        hair_depth=depth, curl=curl, recede=recede, grown=(hairdo > 0).float(), length=u[:, 59], colors=palette,
        pattern=pattern, scale=scale, neckline=neckline, cuts=lengths, skirted=skirted, dress=dress, tucked=tucked,
        belt=tucked & (u[:, 60] < 0.6), loose=torch.stack([u[:, 61], u[:, 62].square()], 1),
        phase=uniforms(seeds, 4, 3),
    )  # fmt: skip


def _layered(ends: Tensor, layer: Tensor, u: Tensor) -> Tensor:
    """Sleeves and hems of cardigans, jackets and shirts are longer: [B 2]."""
    sleeve = torch.where(layer == 4, torch.where(u < 0.4, 0.41, 0.645), torch.where(layer == 0, ends[:, 0], 0.645))
    return torch.stack([sleeve, torch.where((layer > 0) & (layer < 4), cuts.HEMS[-1], ends[:, 1])], 1)


def _outfit(u: Tensor, dress: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colours [B 4 3 3], patterns and scales [B 4] of the four garments."""
    main, second, third = colors(_CLOTH, u[:, 0]), colors(_CLOTH, u[:, 1]), colors(_CLOTH, u[:, 2])
    plain = colors(_CLOTH[:6], u[:, 3])
    close = main * torch.where(main.mean(1, keepdim=True) > 0.2, 0.45, 2.2) + 0.01
    second = torch.where((u[:, 4] < 0.4)[:, None], plain, torch.where((u[:, 4] < 0.7)[:, None], close, second))
    legs = colors(_LEGWEAR, u[:, 5])
    skirt = torch.where((u[:, 6] < 0.5)[:, None], colors(_CLOTH, u[:, 7]), legs)
    shoes = colors(_SHOES, u[:, 8])
    soles = colors(((238, 236, 230), (30, 28, 28), (170, 130, 90), (238, 236, 230)), u[:, 9])
    top = torch.stack([main, second, third], 1)
    palette = torch.stack([
        top, torch.stack([legs, legs * 0.6, plain], 1),
        torch.where(dress[:, None, None], top, torch.stack([skirt, second, third], 1)),
        torch.stack([shoes, soles, plain], 1),
    ], 1)  # fmt: skip
    of_top = _choose(u[:, 10], torch.tensor([0.30, 0.12, 0.07, 0.10, 0.06, 0.10, 0.08, 0.06, 0.06, 0.05]))
    of_legs = _choose(u[:, 11], torch.tensor([0.5, 0, 0.04, 0.06, 0, 0, 0.4, 0, 0, 0]))
    of_skirt = torch.where(
        dress, of_top, _choose(u[:, 12], torch.tensor([0.4, 0.06, 0.08, 0.14, 0.1, 0.16, 0.06, 0, 0, 0]))
    )
    pattern = torch.stack([of_top, of_legs, of_skirt, torch.zeros_like(of_top)], 1)
    return palette.clamp(0.004, 0.9), pattern, 0.7 + 0.8 * u[:, 13:17]


def _unstained(palette: Tensor, pattern: Tensor) -> Tensor:
    """A print of red and light blots looks like blood on cloth; its red is blue instead."""
    red = palette[..., 0] > 3 * palette[..., 1:].amax(-1)
    pale = (palette.amin(-1) > 0.25).any(2, keepdim=True)
    stained = red & pale & (pattern == PATTERNS.index("print"))[..., None]
    return torch.where(stained[..., None], palette.flip(-1), palette)


def _tone(melanin: Tensor) -> Tensor:
    """Skin of a melanin share: quadratic in the logarithm through three measured-looking tones."""
    a, b, c = torch.tensor(_SKIN).log()
    m = melanin[:, None]
    return torch.exp(a * (1 - m) * (1 - 2 * m) + b * 4 * m * (1 - m) + c * m * (2 * m - 1))


def _choose(u: Tensor, chances: Tensor) -> Tensor:
    """An index for each u, with these chances (rows, or one row for all)."""
    ends = chances.cumsum(-1) / chances.sum(-1, keepdim=True)
    return (u[:, None] >= ends).sum(1).clamp(max=chances.shape[-1] - 1)

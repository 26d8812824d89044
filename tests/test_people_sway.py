"""What hangs and swings: towards the ground, behind a movement, never into the body; all else stays where it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.body import JOINTS, load_body, posed_vertices
from lca_mini.capture import random_frames
from lca_mini.people import crowd as crowds
from lca_mini.people import grow, posed
from lca_mini.people.pieces import body_piece, nearest
from lca_mini.people.sway import hanging
from lca_mini.people.wardrobe import BOTTOM, CURTAIN, SHOES, SKIN, SKIRT, TAIL, TOP, wardrobe

LONG, SHORT, TAILED, TIGHT = 10, 1, 1, 5  # a long dress; a short skirt, a loose top, a ponytail; a tight top


def of(seed: int, swing=None, **joints) -> torch.Tensor:
    """Somebody's vertices in a pose of axis-angles, radians."""
    pose = torch.zeros(1, 1, 55, 3)
    for name, turn in joints.items():
        pose[0, 0, JOINTS.index(name)] = torch.tensor(turn)
    swing = None if swing is None else torch.tensor(swing)[None, None]
    nothing = torch.zeros(1, 1, 3), torch.zeros(1, 1, 4), torch.zeros(1, 1, 52)
    return posed(grow(torch.tensor([seed]), "cpu"), pose, *nothing, swing)[0, 0]


@pytest.fixture
def rigid(monkeypatch):
    """`of`, but all that hangs is held by its bones."""
    def stiff(*args, **joints):
        with monkeypatch.context() as patch:
            patch.setattr(crowds, "hang", lambda at, *rest: at)
            return of(*args, **joints)
    return stiff


def tips(part: int, high: float) -> torch.Tensor:
    mesh = wardrobe()
    return ((mesh.vertex_part == part) & (mesh.template[:, 1] < high)).nonzero()[:, 0]


def test_nobody_upright_is_moved(rigid):
    assert float((of(LONG) - rigid(LONG)).abs().max()) < 1e-5
    assert float((of(TAILED) - rigid(TAILED)).abs().max()) < 1e-5
    assert torch.equal(of(LONG), of(LONG, [[0.0, 0, 0]] * 2))


BENT = ({"pelvis": (-0.5, 0.0, 0.0)}, {"spine1": (-0.3, 0.0, 0.3)}, {"pelvis": (0.0, 0.0, 0.6)})


@pytest.mark.parametrize("bent", BENT)
def test_a_ponytail_hangs_nearer_to_the_vertical_than_its_bones_hold_it(rigid, bent):
    low, high = tips(TAIL, 0.50), tips(TAIL, 9.0)[:14]
    angles = []
    for at in (of(TAILED, **bent), rigid(TAILED, **bent), of(TAILED)):
        strand = at[low].mean(0) - at[high].mean(0)
        angles.append(float(torch.acos(-strand[1] / strand.norm())))
    hung, held, upright = angles
    assert hung < held - 0.05 and held > upright + 0.15


def test_a_ponytail_hangs_nearer_to_the_vertical_than_the_head():
    crowd, mesh = grow(torch.tensor([1]), "cpu"), wardrobe()
    tail = (mesh.vertex_part == TAIL).nonzero()[:, 0]
    low, high = tail[(mesh.template[tail, 1] - 0.62).abs().argmin()], tail[mesh.template[tail, 1].argmax()]
    pose = torch.zeros(1, 2, 55, 3)
    pose[0, 1, 15, 0] = 0.5
    nothing = torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), torch.zeros(1, 2, 52)
    at = posed(crowd, pose, *nothing)[0]
    direction = at[:, low] - at[:, high]
    angle = torch.atan2(direction[:, 2], -direction[:, 1])
    assert 0.05 < float(angle[0] - angle[1]) < 0.3  # the head turns by 0.5


def test_long_hair_beside_the_face_sinks_when_somebody_bows(rigid):
    front = tips(CURTAIN, 0.60)
    front = front[wardrobe().template[front, 2] > 0.10]
    bow = {"spine1": (0.5, 0.0, 0.0), "spine2": (0.5, 0.0, 0.0)}
    sunk = rigid(0, **bow)[front, 1] - of(0, **bow)[front, 1]
    assert float(sunk.mean()) > 0.02 and float(sunk.min()) > -0.005


def test_a_skirt_hangs_from_the_hips_where_a_leg_leaves_it_and_lies_on_the_leg_where_not(rigid):
    mesh, step = wardrobe(), {"left_hip": (-0.9, 0.0, 0.0), "left_knee": (0.9, 0.0, 0.0)}
    hem = tips(SKIRT, -0.60)
    left = hem[mesh.template[hem, 0] > 0.08]
    back, front = left[mesh.template[left, 2] < 0.02], left[mesh.template[left, 2] > 0.15]
    at, held, upright = of(LONG, **step), rigid(LONG, **step), of(LONG)
    stays, follows = ((vertices[back] - upright[back]).norm(dim=1) for vertices in (at, held))
    assert float(stays.max()) < 0.01 and float(follows.min()) > 0.15
    torch.testing.assert_close(at[front], held[front], atol=0.01, rtol=0)


def test_swing_moves_only_what_hangs_and_most_at_its_ends():
    mesh, calm, swung = wardrobe(), of(SHORT), of(SHORT, [[0.3, 0.2, 0.1], [0.3, 0.2, 0.1]])
    moved = (swung - calm).norm(dim=1)
    for part in (SKIN, BOTTOM, SHOES):
        assert float(moved[mesh.vertex_part == part].max()) == 0
    hem, waist = tips(SKIRT, -0.5), ((mesh.vertex_part == SKIRT) & (mesh.template[:, 1] > 0.02)).nonzero()[:, 0]
    assert float(moved[waist].max()) == 0 and float(moved[hem].median()) > 0.05 and float(moved.max()) < 0.4


def test_tight_tops_stay_and_loose_hems_swing_outwards_only():
    mesh, crowd = wardrobe(), grow(torch.tensor([TIGHT, SHORT]), "cpu")
    assert crowd.looks.layer[0] == 0 and float(crowd.looks.loose[0, 0]) < 0.3 and crowd.looks.layer[1] in (1, 2, 3)
    hem, swing = tips(TOP, 0.0), [[0.3, 0.0, 0.0]] * 2
    stays, swings = (of(seed, swing)[hem] - of(seed)[hem] for seed in (TIGHT, SHORT))
    away = (mesh.template[hem] - torch.tensor([0.0, 0, 0.09])) * torch.tensor([1.0, 0, 1])
    away = torch.nn.functional.normalize(away, dim=1)
    assert float(stays.abs().max()) == 0
    assert 0.01 < float((swings * away).sum(1).max()) < 0.06 and float((swings * away).sum(1).min()) > -0.003


def test_rods_keep_their_length():
    """Hair that swings or leans becomes neither longer nor shorter."""
    low, high = tips(TAIL, 0.50), tips(TAIL, 9.0)[:14]
    length = lambda at: float((at[low].mean(0) - at[high].mean(0)).norm())  # noqa: E731
    calm = length(of(TAILED))
    swings, bows = of(TAILED, [[0.0, 0, 0], [0.4, 0, -0.4]]), of(TAILED, spine1=(0.9, 0.0, 0.0))
    for at in (swings, bows, of(TAILED, pelvis=(-0.6, 0.0, 0.0))):
        assert 0.93 < length(at) / calm < 1.05


def test_what_hangs_enters_the_body_no_more_than_what_is_held(monkeypatch):
    body, mesh = load_body(), wardrobe()
    whole, seeds = body_piece(body), torch.tensor([2, 0, TAILED])
    crowd, motion = grow(seeds, "cpu"), random_frames(seeds, 5, "wild")
    bodies = posed_vertices(body, crowd.betas[:, None].expand(-1, 5, -1), motion.pose, motion.transl, motion.actions)

    def inside() -> torch.Tensor:
        at = posed(crowd, motion.pose, motion.transl, motion.gaze, motion.actions, motion.swing)
        shares = []
        for i, part in enumerate((SKIRT, CURTAIN, TAIL)):
            shown = mesh.faces[crowd.visible[i] & (mesh.part == part)].unique()
            gaps = [nearest(at[i, f, shown], replace(whole, template=bodies[i, f])).gap for f in range(5)]
            shares.append((torch.cat(gaps) < -0.01).float().mean())
        return torch.stack(shares)

    hung = inside()
    monkeypatch.setattr(crowds, "hang", lambda at, *rest: at)
    assert bool((hung < inside() + 0.005).all())


def test_a_person_at_another_place_facing_elsewhere_hangs_alike():
    """A rigid motion without acceleration changes nothing but the place."""
    one, other = of(LONG, head=(0.3, 0.0, 0.2)), of(LONG, head=(0.3, 0.0, 0.2), pelvis=(0.0, 1.1, 0.0))
    assert float((torch.pdist(one[::60]) - torch.pdist(other[::60])).abs().max()) < 1e-4


def test_no_vertex_belongs_to_two_groups():
    cloth, hair = hanging("cpu")
    assert len(torch.cat([cloth.ids, hair.ids]).unique()) == len(cloth.ids) + len(hair.ids)

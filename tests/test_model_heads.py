"""Expression codes and the face finder."""

from __future__ import annotations

import pytest
import torch

from lca_mini.model.expression import ActionMap, ExpressionEncoder
from lca_mini.model.face_finder import FaceFinder, face_finder_loss


@pytest.mark.parametrize("face_size", [64, 128, 321, 512])
def test_readings_are_bounded_and_follow_the_face(face_size: int) -> None:
    encoder = ExpressionEncoder(face_size, tuple(range(16)), 8)
    with torch.no_grad():
        encoder.net[-1].weight.mul_(100)  # which begins small
    faces = torch.rand(2, 3, 3, face_size, face_size)
    read = encoder(faces)
    assert read.shape == (2, 3, 16) and 0 <= read.min() and read.max() <= 1
    assert (read[0] - read[1]).abs().max() > 1e-4
    assert encoder(faces[0, 0, :, ::2, ::2]).shape == (16,)


def test_large_crops_are_seen_in_full() -> None:
    torch.manual_seed(0)
    encoder = ExpressionEncoder(320, (0, 1, 2), 8)
    y, x = torch.meshgrid(torch.arange(192), torch.arange(192), indexing="ij")
    fine = ((x + y) % 2 - 0.5) * (x > 96)  # nothing of it is left at half the size
    with torch.no_grad():
        seen = torch.stack([fine, 0 * fine])[:, None].expand(-1, 3, -1, -1)
        one, other = encoder.read(seen)
        assert not torch.equal(one, other)
        encoder.net[0].shrink.weight[:, 3:] = 0
        one, other = encoder.read(seen)
        assert torch.equal(one, other)


def test_a_reading_beyond_its_bounds_comes_back() -> None:
    encoder = ExpressionEncoder(64, (0, 1, 2), 8)
    with torch.no_grad():
        encoder.net[-1].weight.zero_()
        encoder.net[-1].bias.copy_(torch.tensor([-0.5, 0.5, 1.5]))
    read = encoder(torch.rand(1, 3, 64, 64))
    assert read.tolist() == [[0.0, 0.5, 1.0]]
    (read - 0.3).square().sum().backward()
    torch.testing.assert_close(encoder.net[-1].bias.grad, torch.tensor([-0.6, 0.4, 1.4]))


def test_a_face_in_a_mirror_is_read_as_mirrored_actions() -> None:
    torch.manual_seed(0)
    encoder = ExpressionEncoder(64, (1, 0, 2), 8)
    with torch.no_grad():
        encoder.net[-1].weight.mul_(20)
        encoder.net[-1].bias.fill_(0.5)  # both within their bounds
        faces = torch.rand(2, 3, 64, 64)
        read = encoder(faces)
        torch.testing.assert_close(encoder(faces.flip(-1)), read[:, [1, 0, 2]])
        assert (read[:, 0] - read[:, 1]).abs().max() > 1e-3


def test_no_action_is_the_zero_code_and_mixtures_of_actions_are_mixtures_of_codes() -> None:
    action_map = ActionMap(52, 128)
    assert not action_map(torch.zeros(2, 4, 52)).any()
    codes = action_map(torch.eye(52))
    assert codes.abs().max() < 1 and torch.linalg.matrix_rank(codes) == 52
    both = action_map(0.5 * (torch.eye(52)[0] + torch.eye(52)[1]))
    torch.testing.assert_close(both, 0.5 * (codes[0] + codes[1]), atol=0.01, rtol=0)


def test_face_finder_learns_where_a_dark_square_is() -> None:
    torch.manual_seed(0)
    finder = FaceFinder()
    assert sum(p.numel() for p in finder.parameters()) < 0.3e6
    optimizer = torch.optim.Adam(finder.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)

    def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        centres = 0.3 + 0.4 * torch.rand(count, 2, generator=generator)
        sides = 0.1 + 0.2 * torch.rand(count, 1, generator=generator)
        grid = (torch.arange(128) + 0.5) / 128
        inside = ((grid[None] - centres[:, :, None]).reshape(count, 2, 128).abs() < sides[:, :, None] / 2).float()
        images = 1 - inside[:, 1, :, None] * inside[:, 0, None, :]
        return images[:, None].expand(-1, 3, -1, -1).contiguous(), torch.cat([centres, sides], 1)

    held_out, boxes = batch(16)
    before = face_finder_loss(finder(held_out), boxes).item()
    for _ in range(40):
        loss = face_finder_loss(finder((pair := batch(8))[0]), pair[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = finder(held_out)
    assert face_finder_loss(found, boxes) < 0.3 * before
    assert (found[:, :2] - boxes[:, :2]).abs().mean() < 0.05
    assert face_finder_loss(boxes, boxes) == 0
    assert finder(torch.rand(2, 3, 3, 64, 64)).shape == (2, 3, 3)

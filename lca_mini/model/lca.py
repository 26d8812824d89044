"""The model, whole: pictures to an avatar once per person, avatar and driving signal to Gaussians once per frame.

Enters: `images` and `face_images` of B people, a `DrivingSignal`. Leaves: an `Avatar` (fused tokens and canonical
Gaussians), and posed `Gaussians` in the world frame, for `lca_mini.render`. Part of the paper: its data flow, eq. 1-3,
8 and 9 and skinning. What differs from the paper: `betas` are predicted from the fused tokens where the caller gives
none; an expression encoder that reads facial actions; `SurfaceFinder`, and what builds on it: `BodyProjection` and
`Detail`; a light that shades colours once they are posed; `dual_branch=False` leaves the correction branch out (table S1).
The transformer may run under bfloat16 autocast; tokens leave it, and heads and skinning run, in float32, since
bfloat16 would lose millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lca_mini.body import ACTIONS, MIRRORED, Anchors, Body
from lca_mini.body import bone_transforms, rest_joints, sample_anchors, with_gaze
from lca_mini.body.lbs import blend_transforms, carry_gaussians
from lca_mini.config import Config
from lca_mini.model.checks import check_images
from lca_mini.model.decoder import CanonicalBranch, CorrectionBranch, apply_offsets
from lca_mini.model.detail import Detail, Gathered, Kind
from lca_mini.model.encoders import make_encoder
from lca_mini.model.expression import ActionMap, ExpressionEncoder
from lca_mini.model.face_finder import FaceFinder
from lca_mini.model.light import LightHead, no_light, posed_normals, shade_factor
from lca_mini.model.projection import BodyProjection
from lca_mini.model.surface import Placement, SurfaceFinder, known, mean_place, patch_cells
from lca_mini.model.tokens import GeometryTokens, ImageTokens
from lca_mini.model.transformer import Transformer
from lca_mini.types import Avatar, DrivingSignal, GaussianOffsets, Gaussians, Movable

ANCHOR_SEED = 0  # of new models; checkpoints bring their anchors along


@dataclass(frozen=True)
class Reconstruction(Movable):
    """What one training step needs of one forward pass.

    offsets: canonical means less their anchors, metres (L_reg). betas: predicted, whatever betas the avatar has.
    found: maps of places on the body (`SurfaceFinder`), of the body images and of the face crops; None without a finder.
    canonical_posed: skinned without correction (I_cano). posed: skinned with it (I_pose). corrections: None without
    a correction branch.
    """

    avatar: Avatar
    offsets: Float[Tensor, "B N 3"]
    betas: Float[Tensor, "B K"]
    found: tuple[Float[Tensor, "B S 5 _h _w"], ...] | None
    canonical_posed: Gaussians
    posed: Gaussians
    corrections: GaussianOffsets | None


class LCA(nn.Module):
    """The avatar model. Body and anchors move with it but are not part of its weights."""

    def __init__(self, config: Config, body: Body, anchors: Anchors) -> None:
        """Random weights, float32, on the CPU.

        Raises: ValueError where body, anchors and config disagree, or the image encoder cannot be made.
        """
        super().__init__()
        if anchors.points.shape[0] != config.anchors or anchors.shapedirs.shape[-1] != config.num_betas:
            raise ValueError(
                f"{anchors.points.shape[0]} anchors with {anchors.shapedirs.shape[-1]} betas do not fit the config, "
                f"which has {config.anchors} and {config.num_betas}"
            )
        self.config, self.body, self.anchors = config, body, anchors
        width, per_anchor = config.width, config.gaussians_per_anchor
        self.image_encoder = make_encoder(config.image_encoder, config.patch_size, width)
        self.image_tokens = ImageTokens(self.image_encoder.out_channels, width)
        self.surface_finder = None
        if config.finder_channels:
            self.surface_finder = SurfaceFinder(config.finder_channels)
            self.placement = Placement(width, config.heads, config.mlp_ratio, config.finder_blocks)
            self.detail = Detail(width, per_anchor, anchors.points)
            self.projection = BodyProjection(anchors, body.joint_template)
        self.geometry_tokens = GeometryTokens(config.frequencies, width)
        self.transformer = Transformer(config.layers, width, config.heads, config.mlp_ratio, config.fusion)
        self.canonical_branch = CanonicalBranch(width, per_anchor, anchors.normals, anchors.spacing)
        self.correction_branch = None
        if config.dual_branch:
            self.correction_branch = CorrectionBranch(
                width, per_anchor, config.expression_dim, config.correction_hidden, config.correction_layers
            )
        self.betas_head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, config.num_betas))
        nn.init.zeros_(self.betas_head[-1].weight)
        nn.init.zeros_(self.betas_head[-1].bias)
        base_channels = min(64, width // 48 * 4)
        self.expression_encoder = ExpressionEncoder(config.expression_size, MIRRORED, base_channels)
        self.action_map = ActionMap(len(ACTIONS), config.expression_dim)
        self.face_finder = FaceFinder()
        self.light_head = LightHead(width)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LCA":
        """As in `nn.Module` (`to`, `cuda`, `cpu`): body and anchors come along."""
        super()._apply(fn, recurse)
        self.body, self.anchors = self.body.map(fn), self.anchors.map(fn)
        return self

    def train(self, mode: bool = True) -> "LCA":
        """As in `nn.Module`; the expression encoder stays as it is (see there)."""
        reading = self.expression_encoder.training
        super().train(mode)
        self.expression_encoder.train(reading)
        return self

    def encode(
        self,
        images: Float[Tensor, "B S 3 H W"],
        face_images: Float[Tensor, "B S 3 h w"],
        image_mask: Bool[Tensor, "B S"] | None = None,
        betas: Float[Tensor, "B K"] | None = None,
    ) -> Avatar:
        """Reconstruct B people, once each.

        Args:
            images: 1 to 16 body images a person in any order, sRGB [0, 1], foreground over white.
            face_images: a face crop of each.
            image_mask: False where a picture is padding.
            betas: body shape; None to predict it from the tokens.
        Raises: ValueError, in one sentence, for another number or size of images, or values that are not finite.
        """
        check_images(self.config, images, face_images, image_mask)
        if image_mask is not None and bool(image_mask.all()):
            image_mask = None
        return self.reconstruct(images, face_images, image_mask, betas)[0]

    def drive(self, avatar: Avatar, signal: DrivingSignal) -> Gaussians:
        """Correct and pose: the work of every frame. The caller answers for finite numbers (`check_signal`).

        Args:
            signal: leading axes (B,) or (B, F).
        Returns: Gaussians [B N .] or [B F N .], world frame.
        """
        return self.posed(avatar, signal, self.correct(avatar, signal))

    def canonical_posed(self, avatar: Avatar, signal: DrivingSignal) -> Gaussians:
        """The canonical Gaussians posed without correction (I_cano of eq. 10); shapes as in `drive`."""
        return self.posed(avatar, signal, None)

    def posed(self, avatar: Avatar, signal: DrivingSignal, corrections: GaussianOffsets | None) -> Gaussians:
        """The canonical Gaussians with these corrections, posed; shapes as in `drive`."""
        canonical = over_frames(avatar, signal).canonical
        corrected = canonical if corrections is None else apply_offsets(canonical, corrections)
        return self.skin(corrected, avatar, signal, self.blended(avatar, signal))

    def forward(
        self,
        images: Float[Tensor, "B S 3 H W"],
        face_images: Float[Tensor, "B S 3 h w"],
        image_mask: Bool[Tensor, "B S"] | None,
        betas: Float[Tensor, "B K"] | None,
        signal: DrivingSignal,
    ) -> Reconstruction:
        """`encode`, `canonical_posed` and `drive` in one call, unchecked, for training; arguments as there."""
        avatar, predicted, found = self.reconstruct(images, face_images, image_mask, betas)
        canonical = over_frames(avatar, signal).canonical
        corrections = self.correct(avatar, signal)
        blended = self.blended(avatar, signal)
        canonical_posed = self.skin(canonical, avatar, signal, blended)
        posed = canonical_posed
        if corrections is not None:
            posed = self.skin(apply_offsets(canonical, corrections), avatar, signal, blended)
        homes = self.anchors_of(avatar.betas).repeat_interleave(self.config.gaussians_per_anchor, dim=1)
        offsets = avatar.canonical.means - homes
        return Reconstruction(avatar, offsets, predicted, found, canonical_posed, posed, corrections)

    def expression_from_actions(self, actions: Float[Tensor, "*batch 52"]) -> Float[Tensor, "*batch E"]:
        """epsilon of facial actions in [0, 1], in the order of `lca_mini.body.ACTIONS`."""
        return self.action_map(actions)

    def expression_from_faces(self, face_images: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch E"]:
        """epsilon of face crops, sRGB [0, 1]."""
        return self.action_map(self.actions_from_faces(face_images))

    def actions_from_faces(self, face_images: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 52"]:
        """Facial actions in [0, 1] as read off face crops, sRGB [0, 1]."""
        return self.expression_encoder(face_images)

    def find_faces(self, images: Float[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 3"]:
        """Face boxes (cx, cy, side) of square body images, in fractions of the side."""
        return self.face_finder(images)

    def reconstruct(
        self,
        images: Float[Tensor, "B S 3 H W"],
        face_images: Float[Tensor, "B S 3 h w"],
        image_mask: Bool[Tensor, "B S"] | None,
        betas: Float[Tensor, "B K"] | None,
    ) -> tuple[Avatar, Float[Tensor, "B K"], tuple[Float[Tensor, "B S 5 _h _w"], ...] | None]:
        """`encode` without its checks; the predicted betas, which it makes in any case; what `SurfaceFinder` found."""
        fused_tokens, looked, found = self.fuse(images, face_images, image_mask)
        with torch.autocast(images.device.type, enabled=False):
            mean_token, paint = fused_tokens.mean(dim=1), None
            seen = looked[1].light if looked else no_light(len(mean_token), mean_token.device)
            predicted, (light, of_pictures) = self.betas_head(mean_token), self.light_head(mean_token, seen)
            betas = predicted if betas is None else betas
            if looked:
                anchors = self.anchors.points[:, None]
                paint = lambda offsets: self.detail.paint(looked[0], anchors + offsets, looked[1], fused_tokens, of_pictures)  # noqa: E731
            canonical = self.canonical_branch(fused_tokens, self.anchors_of(betas), paint)
            token_features = fused_tokens[..., :0]
            if self.correction_branch is not None:
                token_features = self.correction_branch.token_half(fused_tokens)
        return Avatar(fused_tokens, token_features, canonical, betas, light), predicted, found

    def fuse(
        self,
        images: Float[Tensor, "B S 3 H W"],
        face_images: Float[Tensor, "B S 3 h w"],
        image_mask: Bool[Tensor, "B S"] | None,
    ) -> tuple[
        Float[Tensor, "B M D"], tuple[tuple[Kind, ...], Gathered] | None, tuple[Float[Tensor, "B S 5 _h _w"], ...] | None
    ]:  # fmt: skip
        """Tokens of pictures and anchors through the transformer; what `Detail` needs for its second look; what
        `SurfaceFinder` found."""
        encoder, kinds, streams, grids = self.image_encoder, (images, face_images), [], []
        for pictures in kinds:
            streams.append(encoder(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]))
            grids.append(encoder.grid(*pictures.shape[-2:]))
        image_tokens, geometry_tokens = self.image_tokens(*streams, *grids), self.geometry_tokens(self.anchors.points)
        segments, looked, found = tuple(rows * columns for rows, columns in grids), None, None
        if self.surface_finder is not None:
            found = tuple(self.surface_finder(pictures) for pictures in kinds)
            with torch.autocast(images.device.type, enabled=False):
                maps = tuple(known(each) for each in found)
                seen, affines = zip(*(self.projection.seen(each) for each in maps))
                shown, anchors = tuple(zip(kinds, maps, seen)), self.anchors.points[:, None]
                more, gathered = self.detail(
                    shown, anchors + self.canonical_branch.spread, self.anchors.normals, image_mask
                )
                looked = shown, gathered
                cells = [patch_cells(each, grid) for each, grid in zip(maps, grids)]
                towards = [self.projection.towards(*pair) for pair in zip(affines, (mean_place(c) for c in cells))]
            image_tokens = self.placement(image_tokens, torch.cat(cells, dim=2), torch.cat(towards, dim=2), segments)
            geometry_tokens = geometry_tokens + more
        return self.transformer(image_tokens, geometry_tokens, segments, image_mask).float(), looked, found

    def correct(self, avatar: Avatar, signal: DrivingSignal) -> GaussianOffsets | None:
        """What the correction branch adds in these frames; None without one."""
        if self.correction_branch is None:
            return None
        with torch.autocast(signal.pose.device.type, enabled=False):
            return self.correction_branch(over_frames(avatar, signal).token_features, signal)

    def transforms(self, avatar: Avatar, signal: DrivingSignal) -> Float[Tensor, "*batch 55 4 4"]:
        """Rest to posed transform of each joint; the eyes follow the gaze."""
        with torch.autocast(signal.pose.device.type, enabled=False):
            pose = with_gaze(signal.pose, signal.gaze)
            joints = rest_joints(self.body, avatar.betas, None)
            if pose.dim() == 4:
                joints = joints[:, None].expand(pose.shape)
            return bone_transforms(pose, joints, self.body.parents)

    def blended(self, avatar: Avatar, signal: DrivingSignal) -> Float[Tensor, "*batch M 3 4"]:
        """What these frames do to each anchor: its joints' transforms, blended by its skin weights."""
        with torch.autocast(signal.pose.device.type, enabled=False):
            return blend_transforms(self.anchors.skin_weights, self.transforms(avatar, signal))

    def skin(
        self, gaussians: Gaussians, avatar: Avatar, signal: DrivingSignal, blended: Float[Tensor, "*batch M 3 4"]
    ) -> Gaussians:
        """Linear blend skinning and shading: each Gaussian moves as its anchor does, in the avatar's light."""
        with torch.autocast(signal.pose.device.type, enabled=False):
            factors = shade_factor(over_frames(avatar, signal).light, posed_normals(self.anchors.normals, blended))
            factors = factors.repeat_interleave(self.config.gaussians_per_anchor, dim=-2)
            posed = carry_gaussians(gaussians, blended, signal.transl)
            return replace(posed, colors=(posed.colors * factors).clamp(max=1))

    def anchors_of(self, betas: Float[Tensor, "B K"]) -> Float[Tensor, "B M 3"]:
        """Anchors on the bodies of these shapes, T-pose, metres."""
        return self.anchors.points + torch.einsum("mxk,bk->bmx", self.anchors.shapedirs, betas)

    def parameter_depths(self) -> dict[str, int]:
        """The depth of each parameter, for layer-wise learning rates: 0 tokens, 1 ... L layers, L + 1 heads."""
        first = ("image_encoder.", "image_tokens.", "surface_finder.", "placement.", "detail.", "geometry_tokens.")
        depths: dict[str, int] = {}
        for name, _ in self.named_parameters():
            if name.startswith(first):
                depths[name] = 0
            elif name.startswith("transformer.layers."):
                depths[name] = int(name.split(".")[2]) + 1
            else:
                depths[name] = self.config.layers + 1
        return depths


def build(config: Config, body: Body) -> LCA:
    """A new model with random weights: anchors are sampled on the body, always alike."""
    return LCA(config, body, sample_anchors(body, config.anchors, ANCHOR_SEED))


def over_frames(avatar: Avatar, signal: DrivingSignal) -> Avatar:
    """The avatar, with a frame axis of length one where the signal has frames.

    Raises: ValueError where avatar and signal are of different numbers of people.
    """
    people, frames = avatar.betas.shape[0], signal.pose.dim() == 4
    if signal.pose.shape[0] != people or signal.pose.dim() not in (3, 4):
        raise ValueError(f"a driving signal with poses {list(signal.pose.shape)} does not fit an avatar of {people} "
                         "people; [B 55 3] or [B F 55 3] is needed")
    return avatar.map(lambda t: t[:, None]) if frames else avatar

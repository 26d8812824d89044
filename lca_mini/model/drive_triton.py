"""Driving on CUDA: four Triton kernels and one small matrix product, all of which a CUDA graph can hold.

Enters: a `DrivePlan` on a GPU and packed rows of a signal. Leaves: posed Gaussians in buffers that the next call
overwrites. Part of the paper: eq. 9 and skinning. What differs from `LCA.drive`, its readable twin: nothing within
rounding in "float32"; "float16" and "bfloat16" round the inputs of the matrix products. No gradients.
"""

from __future__ import annotations

import torch
import triton

from lca_mini.model.drive_plan import BOUNDS, LEFT_EYE, PACKED, RIGHT_EYE, DrivePlan
from lca_mini.model.drive_triton_kernels import blend, layer, place, pose_joints
from lca_mini.model.light import LIGHT_REACH, LIGHT_TERMS

TRANSL, GAZE = PACKED["transl"].start, PACKED["gaze"].start
ROWS, COLUMNS = 64, 128  # of a program's share of a matrix product
DEPTH = {torch.float32: 32, torch.float16: 64, torch.bfloat16: 64}  # in bites that small GPUs' shared memory holds
LANES = 128  # anchors or Gaussians a program
BLEND = 20  # numbers an anchor takes: 3 x 4 of the blended matrix, 4 of its quaternion, 3 of its shade, one to fill up


class TritonKernels:
    """Buffers and the work of one call. packed: what `run` reads. gaussians: what it writes."""

    def __init__(self, plan: DrivePlan, precision: str) -> None:
        """The plan's tensors must be on a GPU. precision: "float32", "float16" or "bfloat16", of the inputs of matrix
        products; sums are float32 always. (Triton's interpreter runs all but "bfloat16" on a CPU, for tests.)"""
        self.plan, self.packed, self.gaussians = plan, plan.new_packed(), plan.new_gaussians()
        dtype = getattr(torch, precision)
        people, anchors, width = plan.tokens.shape
        images, outputs = plan.images, len(plan.layers[-1][1])
        self.tokens = plan.tokens.to(dtype)
        self.layers = [(weight.to(dtype).contiguous(), bias) for weight, bias in plan.layers]
        new = plan.tokens.new_empty
        self.signal_half = new(images, 2 * width)
        self.hidden = [new(images, anchors, weight.shape[1], dtype=dtype) for weight, _ in plan.layers[:-1]]
        # tanh of the last layer lies in [-1, 1], where half precision keeps three digits
        self.raw = new(images, anchors, outputs, dtype=torch.float32 if precision == "float32" else torch.float16)
        self.transforms, self.blended = new(images, len(plan.chain), 12), new(images, anchors, BLEND)
        self.side = torch.cuda.Stream() if plan.tokens.is_cuda else None

    def run(self) -> None:
        """packed to gaussians."""
        plan, packed = self.plan, self.packed.flatten(0, -2)
        if self.side is None:
            self.skeleton(packed)
        else:
            current = torch.cuda.current_stream()
            self.side.wait_stream(current)
            with torch.cuda.stream(self.side):
                self.skeleton(packed)
        torch.mm(packed, plan.signal_weight, out=self.signal_half)
        outputs = [*self.hidden, self.raw]
        for i, ((weight, bias), x, y) in enumerate(zip(self.layers, [self.tokens, *self.hidden], outputs)):
            anchors, (wide, out) = y.shape[1], weight.shape
            rows, columns = (anchors + ROWS - 1) // ROWS, (out + COLUMNS - 1) // COLUMNS
            layer[(rows * columns, plan.images)](
                x, self.signal_half, weight, bias, y, anchors, plan.frames, wide, out, columns,
                FIRST=i == 0, LAST=i == len(self.layers) - 1, EXACT=weight.dtype == torch.float32,
                ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH[weight.dtype],
            )  # fmt: skip
        if self.side is not None:
            torch.cuda.current_stream().wait_stream(self.side)
        count, here, there = plan.canonical.means.shape[1], plan.canonical, self.gaussians
        place[(triton.cdiv(count, LANES), plan.images)](
            self.raw, self.blended, here.means, here.quats, here.scales, here.colors,
            there.means, there.quats, there.scales, there.colors, count, plan.per_anchor, plan.frames,
            *BOUNDS, BLEND=BLEND, LANES=LANES,
        )  # fmt: skip

    def skeleton(self, packed: torch.Tensor) -> None:
        """Joints, then anchors."""
        plan = self.plan
        joints, longest = plan.chain.shape
        pose_joints[(plan.images,)](
            packed, plan.rest, plan.steps, plan.chain, self.transforms, packed.shape[1], plan.frames, joints,
            LONGEST=longest, JOINTS=64, LEFT_EYE=LEFT_EYE, RIGHT_EYE=RIGHT_EYE, GAZE=GAZE,
            num_warps=2,
        )  # fmt: skip
        anchors, most = plan.skin_ids.shape
        blend[(triton.cdiv(anchors, LANES), plan.images)](
            packed, self.transforms, plan.skin_ids, plan.skin_values, plan.normals, plan.light, self.blended,
            packed.shape[1], anchors, joints, plan.frames, LIGHT_REACH,
            MOST=most, TRANSL=TRANSL, TERMS=LIGHT_TERMS, BLEND=BLEND, LANES=LANES,
        )  # fmt: skip

"""The work of every frame at speed: `Driver`, the fast twin of `LCA.drive`.

Enters: a model and an avatar once, then one `DrivingSignal` a call. Leaves: posed `Gaussians` in buffers that the next
call overwrites. Part of the paper: eq. 9 and skinning, whose rate is its 586 frames a second. What differs from
`LCA.drive`: no gradients, no allocation a frame, and on CUDA one graph launch a call, which the host never waits for.

Kernels: "numba" (CPU), "triton" (CUDA), and "torch", which is `LCA.drive` itself, on CUDA captured in a graph. "auto"
takes the first that fits the device; a model without correction branch is driven by "torch". Nothing is replaced
silently: `Driver.kernels` and `Driver.precision` say what runs.
"""

from __future__ import annotations

from typing import Callable

import torch

from lca_mini.model.drive_plan import JOINTS, PACKED, make_plan, pack, unpack
from lca_mini.model.lca import LCA
from lca_mini.recorded import record
from lca_mini.types import Avatar, DrivingSignal, Gaussians

KERNELS = ("numba", "triton", "torch")
PRECISIONS = ("float32", "float16", "bfloat16")
STAGED = 4  # signals on their way to the GPU at a time


class TorchKernels:
    """The readable path on a row of numbers. `gaussians` is made by `run`: new tensors each time on a CPU, and those
    of the captured graph on CUDA."""

    def __init__(self, model: LCA, avatar: Avatar, leading: tuple[int, ...]) -> None:
        self.model, self.avatar = model, avatar
        numbers = PACKED["expression"].start + model.config.expression_dim
        self.packed = avatar.betas.new_zeros(*leading, numbers)
        self.gaussians: Gaussians | None = None

    def run(self) -> None:
        """packed to gaussians."""
        self.gaussians = self.model.drive(self.avatar, unpack(self.packed)).map(lambda t: t.contiguous())


class Staging:
    """Signals from the host: pinned rows in turn, so that none is overwritten while the GPU still copies it."""

    def __init__(self, packed: torch.Tensor) -> None:
        self.rows = [torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True) for _ in range(STAGED)]
        self.copied = [torch.cuda.Event() for _ in self.rows]
        self.turn = 0

    def send(self, parts: list[torch.Tensor], packed: torch.Tensor) -> None:
        """Queue one copy; the parts may change afterwards."""
        self.turn = (self.turn + 1) % STAGED
        row, copied = self.rows[self.turn], self.copied[self.turn]
        copied.synchronize()  # at once, save where the host is STAGED frames ahead
        torch.cat(parts, dim=-1, out=row)
        packed.copy_(row, non_blocking=True)
        copied.record()


class Driver:
    """Drives one avatar (or B of them) frame by frame, or F frames a call.

    The Gaussians that a call returns lie in the driver's own buffers: they hold until the next call; clone what is to
    be kept. On CUDA all work is queued on the current stream.
    """

    def __init__(
        self, model: LCA, avatar: Avatar, frames: int | None = None, kernels: str = "auto", precision: str = "auto",
        then: Callable[[Gaussians], None] | None = None,
    ) -> None:  # fmt: skip
        """Lay out what no frame changes, compile, and on CUDA capture the graph.

        Args:
            frames: None where signals have leading axes (B,), F where they have (B, F).
            kernels: "auto" or one of `KERNELS`.
            precision: of the inputs of the correction branch's matrix products: "float32", or for "triton" also
                "float16" and "bfloat16" (equally fast; all sums stay in float32). "auto" is float16 for "triton", as
                its error is an eighth of bfloat16's; `lca-mini bench drive` measures both.
            then: called with the posed Gaussians at the end of each call, on CUDA once, into the graph.
        Raises: ValueError, one sentence, for kernels or a precision that the device or the model does not have.
        """
        on_cuda = avatar.betas.is_cuda
        kernels, precision = choose_kernels(model, on_cuda, kernels, precision)
        self.model, self.avatar = model, avatar
        self.kernels, self.precision, self.then = kernels, precision, then
        self.leading = (len(avatar.betas),) if frames is None else (len(avatar.betas), frames)
        self.graph: torch.cuda.CUDAGraph | None = None
        with torch.no_grad():
            if kernels == "torch":
                self.runner = TorchKernels(model, avatar, self.leading)
            elif kernels == "triton":
                from lca_mini.model.drive_triton import TritonKernels

                self.runner = TritonKernels(make_plan(model, avatar, frames), precision)
            else:
                from lca_mini.model.drive_numba import NumbaKernels

                self.runner = NumbaKernels(make_plan(model, avatar, frames))
            if on_cuda:
                self.staging = Staging(self.runner.packed)
                self.graph, _ = record(self.work)
            else:
                self.work()

    def work(self) -> None:
        """What a call does after its signal is in place, and what the graph holds."""
        self.runner.run()
        if self.then is not None:
            self.then(self.runner.gaussians)

    @torch.no_grad()
    def __call__(self, signal: DrivingSignal) -> Gaussians:
        """Pose the avatar.

        Args:
            signal: leading axes as the constructor was told, on the avatar's device (from another one it is copied).
        Returns: Gaussians [*leading N .], world frame, until the next call.
        Raises: ValueError where the leading axes or the length of the expression code are others.
        """
        self.load(signal)
        return self.replay()

    def load(self, signal: DrivingSignal) -> None:
        """The first half of a call: the signal into the driver's buffer, one copy."""
        packed = self.runner.packed
        if signal.pose.shape != (*self.leading, JOINTS, 3):
            raise ValueError(f"a driving signal with poses {list(signal.pose.shape)} does not fit a driver of "
                             f"{[*self.leading, JOINTS, 3]}")
        parts = pack(signal)
        if sum(part.shape[-1] for part in parts) != packed.shape[-1]:
            raise ValueError(f"an expression code of {signal.expression.shape[-1]} numbers does not fit this model's of "
                             f"{packed.shape[-1] - PACKED['expression'].start}")
        same, here = all(part.dtype == packed.dtype for part in parts), signal.pose.device
        if same and here == packed.device:
            torch.cat(parts, dim=-1, out=packed)
        elif same and packed.is_cuda and here.type == "cpu":
            self.staging.send(parts, packed)
        else:
            packed.copy_(torch.cat(parts, dim=-1), non_blocking=True)

    def replay(self) -> Gaussians:
        """The second half: pose what `load` left."""
        if self.graph is not None:
            self.graph.replay()
        else:
            self.work()
        return self.runner.gaussians


def choose_kernels(model: LCA, on_cuda: bool, kernels: str, precision: str) -> tuple[str, str]:
    """What "auto" means for a model on a device. Raises: ValueError, one sentence, for what cannot be."""
    if kernels not in ("auto", *KERNELS):
        raise ValueError(f"no kernels {kernels!r}; choose auto or one of {', '.join(KERNELS)}")
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"no precision {precision!r}; choose auto or one of {', '.join(PRECISIONS)}")
    corrected = model.correction_branch is not None
    if kernels == "auto":
        kernels = "torch" if not corrected else "triton" if on_cuda else "numba"
    if kernels == "triton" and not on_cuda or kernels == "numba" and on_cuda:
        raise ValueError(f'kernels "{kernels}" do not run on {"CUDA" if on_cuda else "CPU"} tensors; take "auto"')
    if not corrected and kernels != "torch":
        raise ValueError('this model has no correction branch; drive it with kernels="torch"')
    if precision == "auto":
        precision = "float16" if kernels == "triton" else "float32"
    if precision != "float32" and kernels != "triton":
        raise ValueError(f'kernels "{kernels}" compute in float32 alone')
    return kernels, precision

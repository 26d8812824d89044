"""Image encoders: what turns a picture into a grid of features, before the shared projection of eq. 1 and 2.

Enters: images [N 3 H W], sRGB in [0, 1], foreground over white. Leaves: features [N P C], patches row by row.
Part of the paper: its image encoder is Sapiens, frozen. What differs: an encoder is chosen by name. "patch" is a linear
patch projection trained from scratch (nano, mini); "timm:<name>" is any frozen timm ViT, "timm:<name>?random" the same
with random weights (for tests, said aloud in the name); "sapiens:<TorchScript file>" runs a file that the user hands
over, at 1024 x 768 pixels unless "?<height>x<width>" follows. TorchScript is loaded by `torch.jit.load`, which runs
the program in the file but does not unpickle arbitrary Python objects: hand it files that you trust.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageEncoder(nn.Module):
    """What every encoder has beside `forward`: images [N 3 H W] -> features [N P C].

    out_channels: C. frozen: its weights never learn. saved: its weights belong into our checkpoints.
    """

    out_channels: int
    frozen: bool = True
    saved: bool = False

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for an image of this size.

        Raises: ValueError where the encoder cannot read that size.
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop learning, for good: evaluation mode, no gradients."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "ImageEncoder":
        """As in `nn.Module`; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)  # type: ignore[return-value]


class PatchEncoder(ImageEncoder):
    """A linear projection of each patch's cosine coefficients; white, the background, is zero.

    Pixels of people are alike: brightness varies seven times as much as either difference of colours, and a patch's
    mean far more than its texture. A network learns what varies most first, so coefficients are brought nearer to one
    size beforehand (`patch_basis`).
    """

    frozen = False
    saved = True

    def __init__(self, patch_size: int, out_channels: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.out_channels = out_channels
        self.project = nn.Linear(3 * patch_size**2, out_channels)
        self.register_buffer("basis", patch_basis(patch_size), persistent=False)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return patch_grid(height, width, self.patch_size)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N P C"]:
        rows, columns = self.grid(*images.shape[-2:])
        size = self.patch_size
        pixels = (images - 1).unflatten(-1, (columns, size)).unflatten(-3, (rows, size))
        return self.project(pixels.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2) @ self.basis)


class TimmEncoder(ImageEncoder):
    """A frozen ViT of timm; its class and register tokens are dropped."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        name, _, option = name.partition("?")
        if option not in ("", "random"):
            raise ValueError(f'unknown option {option!r} of image encoder "timm:{name}"; only "?random" exists')
        try:
            vit = timm.create_model(name, pretrained=not option, num_classes=0, dynamic_img_size=True)
        except Exception as error:  # whatever timm, its hub client or the network raise
            raise ValueError(
                f'image encoder "timm:{name}" could not be made ({type(error).__name__}: {first_line(error)}): '
                'check the name in timm.list_models() and that its weights can be downloaded or are cached'
            ) from error
        if not hasattr(vit, "num_prefix_tokens") or not hasattr(vit, "patch_embed"):
            raise ValueError(f'image encoder "timm:{name}" is no plain ViT; choose one whose name begins with "vit_"')
        self.vit = vit
        self.out_channels = vit.num_features
        self.patch_size = vit.patch_embed.patch_size[0]
        self.saved = bool(option)
        self.register_buffer("mean", channels(vit.pretrained_cfg["mean"]), persistent=False)
        self.register_buffer("std", channels(vit.pretrained_cfg["std"]), persistent=False)
        self.freeze()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return patch_grid(height, width, self.patch_size)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N P C"]:
        self.grid(*images.shape[-2:])
        return self.vit.forward_features((images - self.mean) / self.std)[:, self.vit.num_prefix_tokens :]


class SapiensEncoder(ImageEncoder):
    """A frozen TorchScript encoder; every image is stretched to the one size that it was traced for."""

    def __init__(self, path: str) -> None:
        super().__init__()
        path, _, size = path.partition("?")
        try:
            self.size = tuple(int(side) for side in (size or "1024x768").split("x"))
            height, width = self.size
        except ValueError:
            raise ValueError(f'image encoder size {size!r} is not of the form "1024x768"') from None
        if not Path(path).is_file():
            raise ValueError(f"there is no Sapiens TorchScript file at {path!r}; download one and name its path")
        self.register_buffer("mean", channels(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", channels(IMAGENET_STD), persistent=False)
        try:
            self.script = torch.jit.load(path, map_location="cpu")
            features = self.features(torch.zeros(1, 3, height, width))
        except RuntimeError as error:
            raise ValueError(f"{path!r} is no TorchScript image encoder for {height} x {width} pixels "
                             f"({first_line(error)})") from error
        if features.dim() != 4:
            raise ValueError(f"{path!r} gives features of shape {list(features.shape)}; [N C rows columns] is needed")
        self.out_channels = features.shape[1]
        self.rows_columns = (features.shape[2], features.shape[3])
        self.freeze()

    def features(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C rows columns"]:
        """The file's own output, the first where it gives several."""
        with torch.no_grad():
            output = self.script((images - self.mean) / self.std)
        return output[0] if isinstance(output, (tuple, list)) else output

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return self.rows_columns

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N P C"]:
        resized = nn.functional.interpolate(images, self.size, mode="bilinear", antialias=True)
        return self.features(resized).flatten(2).transpose(1, 2)


ENCODERS: dict[str, Callable[[str, int, int], ImageEncoder]] = {
    "patch": lambda argument, patch_size, width: PatchEncoder(patch_size, width),
    "timm": lambda argument, patch_size, width: TimmEncoder(argument),
    "sapiens": lambda argument, patch_size, width: SapiensEncoder(argument),
}


def make_encoder(name: str, patch_size: int, width: int) -> ImageEncoder:
    """An image encoder by name.

    Args:
        name: "patch", "timm:<name>" or "sapiens:<TorchScript file>".
        patch_size, width: of the "patch" encoder: side of a patch in pixels, channels of a feature.
    Raises: ValueError for another name, or weights that cannot be had.
    """
    kind, colon, argument = name.partition(":")
    if kind not in ENCODERS or bool(argument) != (kind != "patch") or (colon and not argument):
        raise ValueError(f'no image encoder {name!r}; choose "patch", "timm:<name>" or "sapiens:<TorchScript file>"')
    return ENCODERS[kind](argument, patch_size, width)


def patch_grid(height: int, width: int, patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches. Raises: ValueError where the sides are no multiples of `patch_size`."""
    if height % patch_size or width % patch_size:
        raise ValueError(f"an image of {height} x {width} pixels does not divide into patches of {patch_size}")
    return height // patch_size, width // patch_size


def patch_basis(size: int, slope: float = 0.8) -> Float[Tensor, "K K"]:
    """From the K = 3 size^2 pixels of a patch (channel, row, column) to scaled cosine coefficients of opponent colours.

    Measured on our people, a coefficient's deviation falls about as (1 + frequency)^-1.7 from `size` / 2.4 for brightness
    and `size` / 16 for red-green and yellow-blue.

    Args:
        slope: the power of (1 + frequency) to multiply with; 1.7 would make noise as loud as colour.
    """
    opponent = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]])
    opponent = opponent * torch.tensor([[2.4], [16.0], [16.0]]) / size
    index = torch.arange(size, dtype=torch.float32)
    cosines = (math.pi / size * index[:, None] * (index + 0.5)).cos() * (2 / size) ** 0.5
    cosines[0] *= 0.5**0.5
    loudness = (1 + (index[:, None].square() + index.square()).sqrt()) ** slope
    return torch.einsum("oc,ky,lx,kl->cyxokl", opponent, cosines, cosines, loudness).reshape(3 * size**2, -1)


def channels(values: tuple[float, ...]) -> Float[Tensor, "3 1 1"]:
    """One number a channel, shaped to broadcast over an image."""
    return torch.tensor(values, device="cpu").view(3, 1, 1)


def first_line(error: Exception) -> str:
    """The first line of an error's words, which may run to pages."""
    return next(iter(str(error).strip().splitlines()), "")

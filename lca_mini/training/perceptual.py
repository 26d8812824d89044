"""The perceptual half of L_img (eq. 10 and 12) and SSIM.

Enters: pictures, sRGB [0, 1]. Leaves: distances, and a map of structural similarity. Part of the paper: LPIPS, from the
`lpips` package. What differs from the paper: where the published weights of its backbone cannot be had, a variant with
a random backbone stands in, always under its own name, because its numbers are not LPIPS and compare with nothing.
"""

from __future__ import annotations

import socket
import warnings
from pathlib import Path
from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

NAMES = ("lpips-vgg", "lpips-alex", "lpips-random-alex", "lpips-random-vgg")
BACKBONES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}  # torchvision's files of ImageNet weights
RANDOM_SEED = 20260402
WINDOW, SIGMA = 11, 1.5  # pixels, of SSIM's Gaussian


class Perceptual(nn.Module):
    """A frozen perceptual distance; `name` says which, and belongs beside every number it gives."""

    def __init__(self, name: str, net: nn.Module, bfloat16: bool = False) -> None:
        super().__init__()
        self.name, self.bfloat16 = name, bfloat16
        self.net = net.eval().requires_grad_(False)

    def forward(self, images: Float[Tensor, "b 3 H W"], targets: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b"]:
        """One distance a pair, from pictures in [0, 1]."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.net(images, targets, normalize=True).flatten().float()


def perceptual(name: str, device: torch.device | str = "cpu", bfloat16: bool = False) -> Perceptual:
    """A perceptual distance by name.

    Args:
        name: "lpips-vgg" or "lpips-alex", with the published backbone from the torch hub cache, or else downloaded.
            "lpips-random-alex", "lpips-random-vgg": the package's networks with He-normal weights, zero biases and a
            fixed seed, and no learned linear layers on top (`pnet_rand=True, lpips=False`): squared differences of
            unit feature vectors, averaged over pixels, summed over five layers. "auto": "lpips-vgg" or "lpips-alex" if
            its backbone is cached, else "lpips-random-alex"; it prints which.
        bfloat16: fast enough for a loss, too rough for a metric.
    Raises: ValueError for another name, or where a published backbone cannot be had.
    """
    import lpips

    if name == "auto":
        cached = [f"lpips-{net}" for net in ("vgg", "alex") if backbone_file(net).is_file()]
        name = (cached or ["lpips-random-alex"])[0]
        print(f"perceptual loss: {name}" + ("" if cached else " (no published backbone is cached; this is not LPIPS)"))
    if name not in NAMES:
        raise ValueError(f"no perceptual loss {name!r}; choose auto or one of {', '.join(NAMES)}")
    kind = name.rpartition("-")[2]
    if "random" in name:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            net = quietly(lambda: lpips.LPIPS(net=kind, lpips=False, pnet_rand=True, verbose=False))
            for layer in (m for m in net.modules() if isinstance(m, nn.Conv2d)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        return Perceptual(name, net, bfloat16).to(device)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)
    try:
        net = quietly(lambda: lpips.LPIPS(net=kind, verbose=False))
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"the published backbone of {name} could not be downloaded ({error}); put {BACKBONES[kind]} into "
            f"{backbone_file(kind).parent}, or choose lpips-random-alex"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
    return Perceptual(name, net, bfloat16).to(device)


def quietly(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` gives, without the warnings of torchvision about how the `lpips` package calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return make()


def backbone_file(net: str) -> Path:
    """Where torchvision keeps the ImageNet weights of "alex" or "vgg"."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONES[net]


def ssim_map(images: Float[Tensor, "b c H W"], targets: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
    """Structural similarity at each pixel and channel: Gaussian window 11, sigma 1.5, edges mirrored, values in [0, 1].

    Raises: ValueError for pictures smaller than half a window.
    """
    if min(images.shape[-2:]) <= WINDOW // 2:
        raise ValueError(f"SSIM needs pictures larger than {WINDOW // 2} pixels, got {list(images.shape[-2:])}")
    channels, images, targets = images.shape[1], images - 0.5, targets - 0.5  # variances stay, and round less
    moments = torch.cat([images, targets, images * images, targets * targets, images * targets], dim=1)
    place = torch.arange(WINDOW, device=images.device, dtype=images.dtype) - WINDOW // 2
    window = torch.softmax(-place.square() / (2 * SIGMA**2), dim=0).expand(moments.shape[1], 1, WINDOW)
    moments = F.pad(moments, (WINDOW // 2,) * 4, mode="reflect")
    moments = F.conv2d(moments, window[:, :, :, None], groups=moments.shape[1])
    moments = F.conv2d(moments, window[:, :, None], groups=moments.shape[1])
    x, y, xx, yy, xy = moments.split(channels, dim=1)
    c1, c2 = 0.01**2, 0.03**2
    bright, other = x + 0.5, y + 0.5
    similar = (2 * bright * other + c1) * (2 * (xy - x * y) + c2)
    return similar / ((bright * bright + other * other + c1) * (xx - x * x + yy - y * y + c2))

"""One model spread over processes: each keeps a part of every weight, of its gradient and of what the optimiser knows.

Enters: the model with its training forward pass, and its optimiser, whole in every process. Leaves: both in parts
(FSDP2; ZeRO, arXiv 1910.02054). A transformer layer is put together when it is its turn, and let go again; all other
weights stay together from the forward to the backward pass. Part of the paper: none, it does not say how its model
fits; the preset `paper` with its optimiser takes gigabytes that every process would hold otherwise. On GPUs Accelerate
does the sharding; on CPUs, where it knows no FSDP, we call the same functions of torch as it does.

Matrices lie in parts by rows. What treats numbers one by one may work on `local` parts; `each_whole` is for the rest.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.model import LCA
from lca_mini.model.transformer import Layer
from lca_mini.training.step import Learner


def check_processes() -> None:
    """Raises: ValueError, one sentence, where this process is alone, or torch is too old."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise ValueError("shard spreads a model over several processes and there is one: start it with torchrun "
                         "--nproc-per-node 2 (or more) -m lca_mini train ..., or leave shard out")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 7):
        raise ValueError(f"shard needs torch 2.7 or newer, and this is {torch.__version__}")


def plugin_for(model: LCA) -> Any:
    """What Accelerate wants to know: layers by their class; float32 throughout, since heads would lose millimetres and
    autocast chooses where bfloat16 will do; frozen image encoders left whole, since some are no plain modules."""
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=[Layer.__name__],
        mixed_precision_policy=MixedPrecisionPolicy(), cpu_ram_efficient_loading=False,
        ignored_modules=left_whole(model),
    )  # fmt: skip


def spread(accelerator: Any, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
    """The same two in parts, changed in place; the optimiser must not have stepped yet.

    Raises: RuntimeError where Accelerate, begun in this process before, would not shard.
    """
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")  # into which nobody writes
    if accelerator.device.type == "cpu":
        spread_on_cpu(learner, optimizer, accelerator.num_processes)
    else:
        learner, optimizer = accelerator.prepare(learner, optimizer)
    if not all(sharded(p) for p in learner.parameters() if p.requires_grad):
        raise RuntimeError("the model could not be sharded: another run began in this process without shard")
    learner.set_reshard_after_forward(False, recurse=False)  # hooks that would gather again may not see our dataclasses
    return learner, optimizer


def spread_on_cpu(learner: Learner, optimizer: torch.optim.Optimizer, processes: int) -> None:
    """What `Accelerator.prepare` does elsewhere."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    names = {p: name for name, p in learner.named_parameters()}
    named = [[names[p] for p in group["params"]] for group in optimizer.param_groups]
    options: dict[str, Any] = {"mesh": init_device_mesh("cpu", (processes,))}
    if whole_modules := left_whole(learner.model):
        options["ignored_params"] = {p for module in whole_modules for p in module.parameters()}
    for layer in learner.model.transformer.layers:
        fully_shard(layer, **options)
    fully_shard(learner, **options)
    for group, members in zip(optimizer.param_groups, named):
        group["params"] = [learner.get_parameter(name) for name in members]


def left_whole(model: LCA) -> list[Any] | None:
    """Modules that are not sharded."""
    return [model.image_encoder] if model.image_encoder.frozen else None


def sharded(tensor: Tensor) -> bool:
    """Whether this is a part of a tensor (a `DTensor`; torch may be built without it)."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This process's part, which writes through; a plain tensor is its own."""
    return tensor.to_local() if sharded(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """All parts together; every process must ask."""
    return tensor.full_tensor() if sharded(tensor) else tensor  # type: ignore[attr-defined]


@torch.no_grad()
def clip_parts(model: nn.Module, most: float) -> Float[Tensor, ""]:
    """Scale gradients in parts so that their norm, over all parts of all, is `most` at most; returns what it was.

    One message does, where `torch.nn.utils.clip_grad_norm_` sends one for each parameter.
    """
    grads = [local(p.grad) for p in model.parameters() if p.grad is not None]
    square = torch.stack(torch._foreach_norm([grad for grad in grads if grad.numel()])).square().sum()
    torch.distributed.all_reduce(square)
    norm = square.sqrt()
    torch._foreach_mul_(grads, (most / (norm + 1e-6)).clamp(max=1))
    return norm


def gathered(tensors: dict[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Tensors whole, one after another, on the CPU of the processes that `keep` them; every process must ask."""
    kept = {}
    for name, tensor in tensors.items():
        tensor = whole(tensor.detach())
        if keep:
            kept[name] = tensor.cpu().contiguous()
    return kept


def laid_out_as(like: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, the same in every process, on the device and in the parts of another one; numbers stay whole."""
    tensor = tensor.to(like.device)
    if not sharded(like) or tensor.dim() == 0:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None).clone()  # a part alone, not a view of all


def each_whole(
    work: Callable[[Float[Tensor, "k m n"]], Float[Tensor, "k m n"]], rows: Float[Tensor, "K r n"], like: Tensor
) -> Float[Tensor, "K r n"]:
    """Do work that needs whole matrices, each in one process.

    Args:
        work: from a stack of matrices to another one of its shape; it may get none.
        rows: this process's rows of K matrices.
        like: a matrix of as many rows m that lies in the same parts.
    Returns: this process's rows of the results.
    """
    if not sharded(like):
        return work(rows)
    from torch.distributed.tensor import DTensor, Shard

    shape = torch.Size((len(rows), len(like), rows.shape[2]))
    layout: dict[str, Any] = {"run_check": False, "shape": shape, "stride": (shape[1] * shape[2], shape[2], 1)}
    mesh = like.device_mesh  # type: ignore[attr-defined]
    matrices = DTensor.from_local(rows, mesh, [Shard(1)], **layout).redistribute(placements=[Shard(0)])
    done = DTensor.from_local(work(matrices.to_local()).contiguous(), mesh, [Shard(0)], **layout)
    return done.redistribute(placements=[Shard(1)]).to_local()

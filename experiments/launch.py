"""Which process this is among those that train one run: alone, one of Lightning's own, of torchrun, or of srun.

Lightning starts the further processes of one machine by running the same command again; torchrun and srun start all of
them. Either way rank 0 keeps the run folders, and the others only join its training (`experiments.follow`). A run with
one process ignores whatever a launcher has left in the environment.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only

from experiments.schema import TrainerConfig

LAUNCH = "EMOSPACE_LAUNCH"
"""Set by rank 0 before Lightning starts further processes; its value names the launch."""
RANK_VARIABLES = ("LOCAL_RANK", "RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """This process among those of one training."""

    rank: int
    name: str
    """The same for all processes of one launch, and for no other launch."""


def world_size(config: TrainerConfig) -> int:
    """Processes that train one run."""
    return config.devices * config.num_nodes


def find_launch(config: TrainerConfig, environment: Mapping[str, str] = os.environ) -> Launch:
    """This process's rank, by the launcher that has set all of its variables for as many processes as are wanted."""
    world = str(world_size(config))
    if world != "1":
        if LAUNCH in environment and environment.get("LOCAL_RANK", "0") != "0":
            return Launch(int(environment["LOCAL_RANK"]), environment[LAUNCH])
        if under_torchrun(environment) and environment["WORLD_SIZE"] == world:
            return Launch(int(environment["RANK"]), environment["TORCHELASTIC_RUN_ID"] + environment["MASTER_PORT"])
        if under_srun(environment) and environment["SLURM_NTASKS"] == world:
            parts = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
            return Launch(int(environment["SLURM_PROCID"]), ".".join(environment.get(part, "0") for part in parts))
    return Launch(0, secrets.token_hex(8))


def under_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun (or PyTorchJob) has started this process."""
    return {"TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_PORT"} <= environment.keys()


def under_srun(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether srun has started this process as one of several tasks."""
    return {"SLURM_STEP_ID", "SLURM_PROCID"} <= environment.keys() and environment.get("SLURM_NTASKS", "1") != "1"


def cluster_environment(devices: int, num_nodes: int = 1) -> ClusterEnvironment:
    """Lightning's view of the launcher; for one process, a view that no variable changes."""
    alone = devices * num_nodes == 1
    if not alone and LAUNCH not in os.environ:
        if under_torchrun():
            return TorchElasticEnvironment()
        if under_srun():
            # Lightning wants --ntasks-per-node; `find_launch` has checked that there are as many tasks as are wanted
            os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(devices))
            return SLURMEnvironment(auto_requeue=False)
    if alone:
        rank_zero_only.rank = 0  # pyright: ignore[reportFunctionMemberAccess]
        return _OneProcess()
    return LightningEnvironment()


class _OneProcess(LightningEnvironment):
    """One process: rank 0, whatever the environment holds."""

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return 0


@contextlib.contextmanager
def leading(config: TrainerConfig, launch: Launch) -> Iterator[None]:
    """Let Lightning start this machine's further processes inside the block, unless a launcher has started them."""
    if launch.rank > 0 or world_size(config) == 1 or under_torchrun() or under_srun():
        yield
        return
    before = {name: os.environ.pop(name, None) for name in (*RANK_VARIABLES, LAUNCH)}
    os.environ.update({LAUNCH: launch.name, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def join_group(name: str, accelerator: str) -> None:
    """Form the process group of the training `name`, where Lightning cannot: torchrun's own store outlives a group.

    A second group in that store would find the addresses of the first, unless its keys begin otherwise.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # Documented classes that torch.distributed does not list in its `__all__`.
    shared = torch.distributed.TCPStore(address, port, world, is_master=False)  # pyright: ignore[reportPrivateImportUsage]
    store = torch.distributed.PrefixStore(name, shared)  # pyright: ignore[reportPrivateImportUsage]
    backend = "nccl" if accelerator != "cpu" and torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world)


def leave_group() -> None:
    """End the process group of a training, so that the next stage can form its own."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

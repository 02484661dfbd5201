"""What each stage does when it runs: train and test, or evaluate."""

from collections.abc import Mapping

from experiments.evaluate import evaluate, references
from experiments.graph import STAGES, alone
from experiments.runner import Measured, Work, Worker
from experiments.stages import Networks, device_of, job, num_steps
from experiments.training import save_weights, train
from lightning_modules.training.checkpoints import load_state, read_checkpoint


def train_stage(work: Work) -> Measured:
    """Train to the last step from wherever the run stands, then test. A stage of 0 steps keeps its initial weights."""
    networks, final = Networks(work.runs), work.folder.checkpoints / "final.pt"
    work.progress.total = num_steps(work.run)
    if work.progress.total == 0:
        save_weights(networks.build(work.run), final)
        return Measured({})
    task = job(work.run, networks)
    if final.exists():
        load_state(task.module, read_checkpoint(final)["state_dict"], str(final))
    else:
        config = alone(work.run.config) if STAGES[work.run.stage].stand_in else work.run.config.trainer
        train(task, work.folder, config, work.progress, work.interruption, work.mirror.follow)
    work.interruption.check()
    task.module.to(device_of(work.run)).eval()
    return Measured(task.evaluate())


WORKERS: Mapping[str, Worker] = {
    **dict.fromkeys(STAGES, train_stage),
    "references": references,
    "evaluate": evaluate,
}
"""The worker of each stage."""

"""Run one experiment: make the toy world's data if needed, train every stage that is missing, evaluate.

EXPERIMENT is a name in experiments/configs or a YAML file, followed by config keys. Finished runs are skipped,
interrupted runs resume.
"""

import argparse

from emospace.commands.output import add_json, add_runs, network_words, print_json

EXAMPLE = "emospace run toy --variant eac_mlp --seed 1 eac.steps=200"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace run`."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="name in experiments/configs, or a YAML file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="config keys, such as eac.steps=200")
    parser.add_argument("--variant", default="full", help="from `emospace ablations`, or a YAML file (default full)")
    parser.add_argument("--seed", type=int, help="seed of AME, EAC and HEF (default: the experiment's own)")
    parser.add_argument("--stage", default="evaluate", help="last stage to run (default evaluate)")
    parser.add_argument(
        "--networks",
        metavar="published|standin",
        help="networks of metrics and losses; the same as evaluate.networks=X losses.networks=X",
    )
    parser.add_argument("--force", action="store_true", help="archive the finished run and run it again")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare data (default 2)")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Compose, make the data ready, execute; print the run's id and metrics."""
    from ablations.registry import compose_variant

    words = [*options.overrides, *network_words(options.networks)]
    experiment = compose_variant(options.experiment, options.variant, options.seed, words, target=options.stage)
    from experiments.checks import check_parts, check_plan  # a wrong key is reported before torch is loaded
    from experiments.graph import plan
    from experiments.launch import find_launch
    from experiments.runner import execute
    from experiments.world import missing_data, ready_data

    launch = find_launch(experiment.config.trainer)
    if launch.rank > 0:
        from experiments.follow import follow

        return follow(lambda: plan(experiment), options.runs, launch)
    if missing_data(experiment):  # a toy world is not written for a plan that cannot run
        check_parts(experiment.config)
    else:
        check_plan(plan(experiment), options.runs)
    ready_data(experiment, options.workers)
    result = execute(experiment, options.runs, force=options.force)
    metrics = _metrics(options.runs, result.target)
    if options.json:
        stages = [{"id": o.id, "state": o.state, "seconds": round(o.seconds, 2)} for o in result.outcomes]
        print_json({"id": result.target, "exit_code": result.exit_code, "stages": stages, "metrics": metrics})
    else:
        print(result.target)
        for name, value in metrics.items():
            print(f"  {name:<28} {value:.5g}")
    return result.exit_code


def _metrics(runs, target: str) -> dict[str, float]:
    from experiments.rundir import RunFolder

    return RunFolder(runs / target).read("metrics.json").get("metrics", {})

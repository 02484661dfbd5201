"""Sweeps in W&B's own YAML schema (a strict subset: grid and random), expanded the same way every time.

The same file runs here and, unchanged, by `wandb sweep` + `wandb agent`: `command` is what an agent would execute.
Values reach `emospace run` as they are written in the file. An agent writes what YAML makes of them, so that text that
looks like a number (`007`) needs quotes there.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from conventions.errors import UserError, nearest
from experiments.compose import load_yaml
from experiments.identity import hash_of
from experiments.rundir import RunFolder, read_history
from experiments.values import Plain, as_number, is_null

PHASES = ("train", "val", "test")
T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """A sweep's `metric`: its name as W&B has it, such as `val/PSNR`, and whether more is better."""

    metric: str
    maximize: bool = False

    def value(self, folder: RunFolder) -> float | None:
        """The run's value; None where it has none."""
        return metric_of(folder, self.metric)

    def best_first(self, valued: Iterable[tuple[float | None, T]]) -> list[T]:
        """Items by their values, those without a value last; items of one value keep their order."""
        sign = -1 if self.maximize else 1
        return [item for _, item in sorted(valued, key=lambda one: math.inf if one[0] is None else sign * one[0])]


def metric_of(folder: RunFolder, name: str) -> float | None:
    """`test/NAME` from metrics.json; `val/NAME` and `train/NAME` from the last row of history.jsonl that has it."""
    phase, _, short = name.partition("/")
    if phase == "test":
        return _finite(folder.read("metrics.json").get("metrics", {}).get(short))
    return last_values(folder, phase).get(name)


def last_values(folder: RunFolder, phase: str) -> dict[str, float]:
    """The last value of each scalar `phase/NAME` of history.jsonl; without those whose last one is not finite."""
    last = {
        name: value
        for row in read_history(folder.history)
        for name, value in row.items()
        if name.startswith(f"{phase}/")
    }
    return {name: number for name, value in last.items() if (number := _finite(value)) is not None}


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


SWEEP = "EMOSPACE_SWEEP"
"""Environment variable by which a sweep gives its runs its name."""
MOST_RUNS = 100_000
SWEEPS = Path(__file__).parent / "sweeps"
KEYS = ("name", "description", "project", "entity", "method", "metric", "parameters", "command", "run_cap")
METRIC_KEYS = ("name", "goal")
GOALS = ("minimize", "maximize")
PARAMETER_KEYS = ("value", "values", "min", "max", "distribution")
DISTRIBUTIONS = ("uniform", "log_uniform_values", "int_uniform")
ARGUMENTS = "${args_no_hyphens}"
COMMAND = ("${env}", "${interpreter}", "-m", "emospace.cli", "run")
"""How `command` must begin; the experiment follows, and ARGUMENTS end it."""


@dataclass(frozen=True)
class SweepJob:
    """One run of a sweep: the words after `emospace run`, such as ("toy", "variant=full", "seed=0")."""

    words: tuple[str, ...]
    point: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The sweep's parameters with this run's values, as they are written."""

    @property
    def label(self) -> str:
        """What tables of states show."""
        return " ".join(self.words)


@dataclass(frozen=True)
class Sweep:
    """A sweep's name, its runs in order, the parameters that differ between them, and the metric that orders them."""

    name: str
    jobs: tuple[SweepJob, ...]
    fields: tuple[str, ...] = ()
    goal: Goal | None = None


def expand_sweep(path: Path | str) -> Sweep:
    """Every run of a sweep file, or of a sweep of `experiments/sweeps` by name; UserError names what is not allowed."""
    path = _sweep_path(path)
    content = load_yaml(path)
    _check_keys(path, content)
    start = _command_words(path, content)
    parameters, goal = content["parameters"], _goal(path, content)
    drawn = _grid(parameters) if content["method"] == "grid" else _random(parameters, content)
    points = [{name: str(value) for name, value in point.items()} for point in drawn]
    jobs = [SweepJob((*start, *(f"{name}={value}" for name, value in point.items())), point) for point in points]
    fields = tuple(name for name, one in parameters.items() if "min" in one or len(one.get("values", ())) > 1)
    return Sweep(str(content.get("name", path.stem)), tuple(dict.fromkeys(jobs)), fields, goal)


def sweep_names() -> list[str]:
    """Names of the sweeps that come with the project."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def _sweep_path(path: Path | str) -> Path:
    given = Path(path)
    if given.suffix in (".yaml", ".yml"):
        return given
    if str(path) not in sweep_names():
        raise UserError(f"sweep {str(path)!r} is unknown{nearest(str(path), sweep_names())}")
    return SWEEPS / f"{path}.yaml"


def _check_keys(path: Path, content: Mapping[str, Any]) -> None:
    for key in content:
        if key not in KEYS:
            raise UserError(f"{path}: unknown key {key!r}{nearest(str(key), KEYS)}")
    if content.get("method") not in ("grid", "random"):
        raise UserError(f"{path}: method: {content.get('method')!r}; expected grid or random")
    if not isinstance(content.get("parameters"), Mapping) or not content["parameters"]:
        raise UserError(f"{path}: parameters: expected a mapping of names to value, values or min and max")
    for name, parameter in content["parameters"].items():
        _check_parameter(f"{path}: parameters.{name}", parameter, content["method"])


def _goal(path: Path, content: Mapping[str, Any]) -> Goal | None:
    """The metric that orders the runs; a random search must not choose by test actors."""
    metric = content.get("metric")
    if metric is None:
        return None
    if not isinstance(metric, Mapping) or "name" not in metric:
        raise UserError(f"{path}: metric: expected name, such as val/loss, and goal")
    for key in metric:
        if key not in METRIC_KEYS:
            raise UserError(f"{path}: metric: unknown key {key!r}{nearest(str(key), METRIC_KEYS)}")
    name, goal = str(metric["name"]), str(metric.get("goal", GOALS[0]))
    if goal not in GOALS:
        raise UserError(f"{path}: metric.goal: {goal!r} is unknown{nearest(goal, GOALS)}")
    phase = name.partition("/")[0]
    if phase not in PHASES or name == phase:
        raise UserError(f"{path}: metric.name: {name!r}; expected val/NAME, test/NAME or train/NAME")
    if phase == "test" and content["method"] == "random":
        raise UserError(f"{path}: metric.name: {name!r}: a search must not select by test actors; give val/NAME")
    return Goal(name, goal == "maximize")


def _check_parameter(place: str, parameter: Any, method: str) -> None:
    if not isinstance(parameter, Mapping):
        raise UserError(f"{place}: expected value, values or min and max")
    for key in parameter:
        if key not in PARAMETER_KEYS:
            raise UserError(f"{place}: unknown key {key!r}{nearest(str(key), PARAMETER_KEYS)}")
    given = [key for key in ("value", "values", "min") if key in parameter]
    if len(given) != 1:
        raise UserError(f"{place}: expected exactly one of value, values, or min with max")
    if given == ["min"]:
        _check_range(place, parameter, method)
    elif given == ["values"] and not isinstance(parameter["values"], list):
        raise UserError(f"{place}.values: expected a list")
    for value in parameter.get("values", [parameter.get("value", 0)]):
        if is_null(value) or isinstance(value, Mapping | list):
            shown = None if is_null(value) else value
            raise UserError(
                f"{place}: {shown!r} cannot be passed on W&B's command line; give a number, a string or a boolean"
            )


def _check_range(place: str, parameter: Mapping[str, Any], method: str) -> None:
    if method == "grid":
        raise UserError(f"{place}: a grid has no ranges; give values, or use method: random")
    low, high = as_number(parameter["min"]), as_number(parameter.get("max"))
    if low is None or high is None or low > high:
        raise UserError(f"{place}: expected numbers min <= max")
    kind = parameter.get("distribution", "uniform")
    if kind not in DISTRIBUTIONS:
        raise UserError(f"{place}.distribution: {str(kind)!r} is unknown{nearest(str(kind), DISTRIBUTIONS)}")
    if kind == "log_uniform_values" and low <= 0:
        raise UserError(f"{place}: log_uniform_values needs min > 0")
    if kind == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
        raise UserError(f"{place}: int_uniform needs whole numbers")


def _command_words(path: Path, content: Mapping[str, Any]) -> list[str]:
    """The words between `run` and the arguments: the experiment, and what holds for every run."""
    command = content.get("command")
    example = " ".join([*COMMAND, "toy", ARGUMENTS])
    if not isinstance(command, list) or tuple(command[:5]) != COMMAND or command[-1] != ARGUMENTS or len(command) < 7:
        raise UserError(f"{path}: command: expected the list form of: {example}")
    if not all(isinstance(word, str) for word in command):
        raise UserError(f"{path}: command: expected a list of strings")
    return [str(word) for word in command[5:-1]]


def _grid(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = [_choices(parameter) for parameter in parameters.values()]
    return [dict(zip(parameters, point, strict=True)) for point in itertools.product(*choices)]


def _choices(parameter: Mapping[str, Any]) -> list[Any]:
    return parameter["values"] if "values" in parameter else [parameter["value"]]


def _random(parameters: Mapping[str, Any], content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`run_cap` draws from a generator seeded by the parameters themselves."""
    count = as_number(content.get("run_cap"))
    if not isinstance(count, int) or not 1 <= count <= MOST_RUNS:
        raise UserError(f"run_cap: a random sweep needs the number of its runs, 1 to {MOST_RUNS}")
    seed = int(hash_of({"parameters": _valued(parameters)})[:16], 16)
    generator = np.random.default_rng(seed)
    return [{name: _draw(generator, p) for name, p in parameters.items()} for _ in range(count)]


def _valued(value: Any) -> Any:
    """What is written, with numbers and flags as such: 1 and 1.0 draw the same runs."""
    if isinstance(value, Mapping):
        return {name: _valued(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_valued(inner) for inner in value]
    flags = {"true": True, "false": False}
    if isinstance(value, Plain) and value.lower() in flags:
        return flags[value.lower()]
    number = as_number(value) if isinstance(value, Plain) else None
    return str(value) if number is None else number


def _draw(generator: np.random.Generator, parameter: Mapping[str, Any]) -> Any:
    if "min" not in parameter:
        choices = _choices(parameter)
        return choices[int(generator.integers(len(choices)))]
    low, high = (as_number(parameter[name]) or 0 for name in ("min", "max"))  # checked before
    kind = parameter.get("distribution", "uniform")
    if kind == "int_uniform":
        return int(generator.integers(int(low), int(high) + 1))
    if kind == "log_uniform_values":
        return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.4g}")
    return float(f"{generator.uniform(low, high):.4g}")

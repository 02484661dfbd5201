"""From a YAML file, a variant's differences and `key=value` words to one frozen dataclass, or one clear error line."""

import dataclasses
import functools
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from conventions.errors import UserError, nearest

CONFIGS = Path(__file__).parent / "configs"
T = TypeVar("T")


def dotted_keys(schema: type, prefix: str = "") -> list[str]:
    """Every leaf key of a dataclass tree in dotted form, such as `eac.weights.velocity`."""
    keys: list[str] = []
    for name, kind in _field_types(schema).items():
        keys += dotted_keys(kind, f"{prefix}{name}.") if _is_section(kind) else [f"{prefix}{name}"]
    return keys


def merge(schema: type[T], *sources: tuple[str, Mapping[str, Any]]) -> T:
    """Merge (label, nested mapping) sources in order over the defaults of `schema`, strictly.

    UserError naming the source, the key and the nearest valid key when a key is unknown, a value has the wrong type,
    or the dataclass itself refuses the value (ValueError in `__post_init__`).
    """
    config = _merge_all(schema, [values for _, values in sources])
    if config is None:
        config = _structured(schema)
        for label, values in sources:
            config = _merge_one(config, schema, label, values)
    labels = ", ".join(label for label, values in sources if values)
    return _build(schema, OmegaConf.to_container(config, resolve=True), labels, "")


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """`["eac.steps=200"]` as {"eac": {"steps": 200}}; values are read as YAML."""
    for word in words:
        if not word.partition("=")[1] or not word.partition("=")[0].strip("."):
            raise UserError(f"override {word!r}: expected key=value, for example eac.steps=200")
    try:
        return _plain(OmegaConf.from_dotlist(list(words)))
    except Exception as error:
        raise UserError(f"overrides {' '.join(words)!r}: {_first_line(error)}") from error


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"eac.steps": 200} as {"eac": {"steps": 200}}."""
    tree = OmegaConf.create({})
    for key, value in flat.items():
        OmegaConf.update(tree, key, value, merge=True)
    return _plain(tree)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as plain Python values, read by OmegaConf's safe loader (1e-3 is a number)."""
    try:
        config = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:
        raise UserError(f"{path}: not readable as YAML: {_first_line(error)}") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path}: expected a mapping of keys to values")
    return _plain(config)


def experiment_sources(experiment: str) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The experiment's name and its YAML sources, base first; `experiment` is a name in `configs/` or a path."""
    path = _experiment_path(experiment)
    sources: list[tuple[str, dict[str, Any]]] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UserError(f"{path}: `base` leads back to {path.name}")
        seen.append(path.resolve())
        values = load_yaml(path)
        base = values.pop("base", None)
        sources.insert(0, (path.name, values))
        if base is None:
            return seen[0].stem, sources
        path = _experiment_path(str(base), beside=path.parent)


def experiment_names() -> list[str]:
    """Names of the experiments that come with the project."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def _experiment_path(experiment: str, beside: Path | None = None) -> Path:
    if experiment.endswith((".yaml", ".yml")):
        path = (beside or Path()) / experiment
        if not path.is_file():
            raise UserError(f"{path}: no such experiment file")
        return path
    if experiment not in experiment_names():
        raise UserError(f"experiment {experiment!r} is unknown{nearest(experiment, experiment_names())}")
    return CONFIGS / f"{experiment}.yaml"


@functools.cache
def _structured(schema: type) -> DictConfig:
    return OmegaConf.structured(schema)


def _merge_all(schema: type, sources: Sequence[Mapping[str, Any]]) -> Any:
    """All sources at once, which is four times as fast; None when something is wrong and its source must be found."""
    try:
        for values in sources:
            _check_sections(schema, values, "", "")
        return OmegaConf.merge(_structured(schema), *(OmegaConf.create(dict(values)) for values in sources))
    except (OmegaConfBaseException, UserError):
        return None


def _merge_one(config: Any, schema: type, label: str, values: Mapping[str, Any]) -> Any:
    _check_sections(schema, values, label, "")
    try:
        return OmegaConf.merge(config, OmegaConf.create(dict(values)))
    except ConfigKeyError as error:
        raise UserError(f"{label}: unknown key {error.full_key!r}{_near(schema, str(error.full_key))}") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{label}: {error.full_key}: {_first_line(error)}") from error


def _check_sections(schema: type, values: Mapping[str, Any], label: str, prefix: str) -> None:
    """A section given as a plain value would be an OmegaConf error without a key: name it here."""
    for name, kind in _field_types(schema).items():
        if _is_section(kind) and name in values:
            if not isinstance(values[name], Mapping):
                keys = ", ".join(_field_types(kind))
                raise UserError(f"{label}: {prefix}{name}: is a section, not a value; its keys: {keys}")
            _check_sections(kind, values[name], label, f"{prefix}{name}.")


def _near(schema: type, key: str) -> str:
    keys = dotted_keys(schema)
    parent = key.rpartition(".")[0]
    sections = {".".join(k.split(".")[: i + 1]) for k in keys for i in range(k.count("."))}
    siblings = [k for k in [*keys, *sections] if k.rpartition(".")[0] == parent]
    close = nearest(key, siblings) if siblings else ""
    return close if "did you mean" in close else _anywhere(key, keys) or close


def _anywhere(key: str, keys: Iterable[str]) -> str:
    close = nearest(key, keys)
    if "did you mean" in close:
        return close
    same_name = [k for k in keys if k.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"; did you mean {same_name[0]!r}?" if same_name else ""


def _build(schema: type[T], values: Any, label: str, prefix: str) -> T:
    kinds = _field_types(schema)
    arguments = {
        name: _build(kinds[name], value, label, f"{prefix}{name}.") if _is_section(kinds[name]) else _tupled(value)
        for name, value in values.items()
    }
    try:
        return schema(**arguments)
    except ValueError as error:
        key = prefix.rstrip(".")
        raise UserError(f"{label or 'defaults'}: {f'{key}: ' if key else ''}{_first_line(error)}") from error


@functools.cache
def _field_types(schema: type) -> dict[str, Any]:
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def _is_section(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(config: DictConfig) -> dict[str, Any]:
    return typing.cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

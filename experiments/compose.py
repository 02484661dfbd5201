"""From a YAML file, a variant's differences and `key=value` words to one frozen dataclass, or one clear error line."""

import dataclasses
import functools
import io
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
    for name, kind in field_types(schema).items():
        keys += dotted_keys(kind, f"{prefix}{name}.") if is_section(kind) else [f"{prefix}{name}"]
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
    if not words:
        return {}
    for word in words:
        if not word.partition("=")[1] or not word.partition("=")[0].strip("."):
            raise UserError(f"override {word!r}: expected key=value, for example eac.steps=200")
    try:
        return _plain(OmegaConf.from_dotlist(list(words)))
    except Exception as error:
        raise UserError(f"overrides {' '.join(words)!r}: {_first_line(error)}") from error


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"eac.steps": 200} as {"eac": {"steps": 200}}."""
    trees = [functools.reduce(lambda tree, name: {name: tree}, reversed(key.split(".")), v) for key, v in flat.items()]
    return functools.reduce(deep_merge, trees, {})


def deep_merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both nested mappings in one; where they disagree, `other` wins."""
    both = [name for name, value in other.items() if isinstance(value, Mapping) and isinstance(one.get(name), Mapping)]
    return {**one, **other, **{name: deep_merge(one[name], other[name]) for name in both}}


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping as plain Python values, read by OmegaConf's safe loader (1e-3 is a number)."""
    return _parsed(path, _text(path))


def experiment_texts(experiment: str) -> tuple[str, tuple[tuple[Path, str], ...]]:
    """The experiment's name and its YAML files (path, text), base first; `experiment` is a name or a path."""
    path = _experiment_path(experiment)
    texts = ((path, _text(path)),)
    while (base := _base(*texts[0])) is not None:
        path = _experiment_path(base, beside=path.parent)
        if any(path.samefile(seen) for seen, _ in texts):
            raise UserError(f"{path}: `base` leads back to {path.name}")
        texts = ((path, _text(path)), *texts)
    return texts[-1][0].stem, texts


def experiment_sources(texts: Iterable[tuple[Path, str]]) -> list[tuple[str, dict[str, Any]]]:
    """Sources for `merge` from what `experiment_texts` read."""
    parsed = [(path.name, _parsed(path, text)) for path, text in texts]
    return [(name, {key: value for key, value in values.items() if key != "base"}) for name, values in parsed]


def experiment_names() -> list[str]:
    """Names of the experiments that come with the project."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {_first_line(error)}") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        config = OmegaConf.load(io.StringIO(text))
        values = _plain(config) if isinstance(config, DictConfig) else None
    except Exception as error:
        raise UserError(f"{path}: not readable as YAML: {_first_line(error)}") from error
    if values is None:
        raise UserError(f"{path}: expected a mapping of keys to values")
    return values


@functools.lru_cache(maxsize=64)
def _base(path: Path, text: str) -> str | None:
    base = _parsed(path, text).get("base")
    return None if base is None else str(base)


def _experiment_path(experiment: str, beside: Path | None = None) -> Path:
    if experiment.endswith((".yaml", ".yml")):
        path = (beside or Path()) / experiment
        if not path.is_file():
            raise UserError(f"{path}: no such experiment file")
        return path
    path = CONFIGS / f"{experiment}.yaml"
    if path.parent != CONFIGS or not path.is_file():
        raise UserError(f"experiment {experiment!r} is unknown{nearest(experiment, experiment_names())}")
    return path


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
    for name, kind in field_types(schema).items():
        if is_section(kind) and name in values:
            if not isinstance(values[name], Mapping):
                keys = ", ".join(field_types(kind))
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
    kinds = field_types(schema)
    arguments = {
        name: _build(kinds[name], value, label, f"{prefix}{name}.") if is_section(kinds[name]) else tupled(value)
        for name, value in values.items()
    }
    try:
        return schema(**arguments)
    except ValueError as error:
        key = prefix.rstrip(".")
        raise UserError(f"{label or 'defaults'}: {f'{key}: ' if key else ''}{_first_line(error)}") from error


@functools.cache
def field_types(schema: type) -> dict[str, Any]:
    """Each field's type."""
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


def is_section(kind: Any) -> TypeGuard[type]:
    """Whether a field of this type holds further fields."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def tupled(value: Any) -> Any:
    """`value` with every list a tuple, as frozen dataclasses hold it."""
    return tuple(tupled(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(config: DictConfig) -> dict[str, Any]:
    return typing.cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""`emospace bench`: the instruments against what is known by hand, and the document that scripts read."""

import dataclasses
import json

import hef_world as world
import pytest
import torch
from torch import nn

from emospace.bench.measure import figures, gigaflop, memory_mib, milliseconds
from emospace.bench.subjects import EXPERIMENTS, hef_subject, preset_config
from emospace.cli import main
from experiments.schema import ExperimentConfig
from lightning_modules.hef.config import FlowConfig


class Two(nn.Module):
    """One layer used once, another used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(256, 512, bias=False), nn.Linear(512, 512, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.second(self.first(x)))


@pytest.fixture(scope="module")
def two() -> Two:
    return Two().requires_grad_(False)


def parts(two: Two) -> dict[str, nn.Module]:
    return dict(two.named_children())


def test_arithmetic_is_twice_the_products_and_parts_add_up(two: Two) -> None:
    found = gigaflop(lambda: two(torch.zeros(8, 256)), parts(two))
    assert found.parts == pytest.approx({"first": 2 * 8 * 256 * 512 / 1e9, "second": 2 * 2 * 8 * 512 * 512 / 1e9})
    assert found.total == pytest.approx(sum(found.parts.values()))
    assert found.over(8).total == pytest.approx(found.total / 8)


def test_fused_attention_is_counted() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval().requires_grad_(False)
    assert gigaflop(lambda: layer(torch.zeros(1, 5, 16))).total > 2 * 5 * 16 * (3 * 16 + 16 + 64) / 1e9
    assert torch.backends.mha.get_fastpath_enabled()


def test_memory_is_what_is_alive_at_once_beyond_weights_and_inputs(two: Two) -> None:
    x = torch.zeros(1024, 256)
    found = memory_mib(lambda: two(x), parts(two))
    assert found.total == pytest.approx(2 * 2.0)  # an output of 1024 x 512 floats and the input of the layer behind it
    assert found.parts == pytest.approx({"first": 2.0, "second": 2.0})
    assert memory_mib(lambda: x.add_(1)).total == 0


def test_time_is_positive_and_parts_lie_within_it(two: Two) -> None:
    found = milliseconds(lambda: two(torch.zeros(64, 256)), "cpu", parts(two), repeats=3, warm_up=1)
    assert all(value > 0 for value in found.parts.values())
    assert set(found.parts) == {"first", "second"}


def test_command_prints_the_fixed_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--module", "eac", "--preset", "toy", "--counts", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"parameters", "gflop", "ms"} <= set(document["eac"]["toy"])
    assert document["eac"]["toy"]["ms"] == {"speak": None}
    assert {row["name"] for row in document["published"]} >= {"PIRenderer", "LivePortrait"}


def test_a_portrait_and_the_discriminator_stand_apart_from_a_driven_frame() -> None:
    config = ExperimentConfig(hef=world.tiny_config())
    found = figures(hef_subject(config, "meta"), hef_subject(config, "cpu"), "cpu")
    calls = found["calls"]
    assert found["gflop"] == calls["drive"]["gflop"] > calls["source"]["gflop"] > 0
    assert set(calls["drive"]["parts"]) == {"drive_encoder", "mapping", "flow", "synthesis"}
    used = [part["parameters"] for name in ("drive", "source") for part in calls[name]["parts"].values()]
    assert found["parameters"] == sum(used)
    assert set(found["ms"]) == {"drive", "source", "discriminator"}
    assert all(ms > 0 for ms in found["ms"].values())
    real = figures(hef_subject(config, "cpu"), None, "cpu")
    assert real["gflop"] == pytest.approx(found["gflop"])
    assert real["memory_mib"] == pytest.approx(found["memory_mib"])
    assert set(real["ms"].values()) == {None}


@pytest.mark.parametrize(
    "flow", [FlowConfig(), FlowConfig(residual=False), FlowConfig(hierarchical=False)], ids=["full", "wo_res", "wo_hie"]
)
def test_the_paper_preset_costs_what_it_may(flow: FlowConfig) -> None:
    paper = preset_config("paper")
    config = dataclasses.replace(paper, hef=dataclasses.replace(paper.hef, flow=flow))
    found = figures(hef_subject(config, "meta"), None, "cpu")
    assert found["gflop"] <= 250
    assert found["parameters"] <= 60e6


def test_presets_are_of_their_sizes() -> None:
    assert {name: preset_config(name).hef.resolution for name in EXPERIMENTS} == {"toy": 64, "small": 256, "paper": 512}


@pytest.mark.slow
def test_all_modules_and_presets_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["hef"]) == {"toy", "small", "paper"}
    assert set(document["eac"]) == set(document["ame"]) == {"toy", "paper"}
    for module in ("hef", "eac", "ame"):
        for found in document[module].values():
            assert all(ms > 0 for ms in found["ms"].values())

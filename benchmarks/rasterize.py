"""Time the rasteriser against public ones on the same mesh, in one run and on one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.rasterize --ict path/to/ict_facekit.npz

Everyone gets the same projected vertices, depths and vertex colours, and makes one image of 256 x 256; the gradient
pass returns gradients to positions and colours (to depths too where a renderer has them). Peers that are not installed
are named and left out: `pip install deodr moderngl` (moderngl draws through EGL, without a GPU by Mesa's llvmpipe).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from face3d import camera
from face3d.morphable import load_model
from face3d.rasterize import barycentrics, by_scatter, interpolate, mixture, rasterize


@dataclass(frozen=True)
class Mesh:
    """One projected mesh: normalised xy [v, 2], depth [v], colours [v, 3], triangles [t, 3], and the image's size."""

    xy: torch.Tensor
    depth: torch.Tensor
    colours: torch.Tensor
    triangles: torch.Tensor
    size: int

    def pixels(self) -> np.ndarray:
        """Vertex positions in pixels (x, y), pixel centres at integers, float64."""
        return ((self.xy + 1) * (self.size / 2) - 0.5).double().numpy()


Candidate = tuple[str, Callable[[], Any]]


def mesh(arguments: argparse.Namespace) -> Mesh:
    """The mean head, a little turned, in random colours."""
    model = load_model("ict", arguments.ict) if arguments.ict else load_model("procedural-v1")
    vertices = model.mean_shape[None]
    angle = torch.tensor([[0.1, 0.2, 0.05]])
    xy, depth = camera.project(vertices, angle, torch.zeros(1, 3), camera.default_placement(1))
    colours = torch.rand(vertices.shape[1], 3, generator=torch.Generator().manual_seed(0))
    return Mesh(xy[0], depth[0], colours, model.triangles, arguments.size)


def ours(one: Mesh) -> tuple[list[Candidate], list[Candidate]]:
    """This project's kernels, and its plain torch path on the CPU."""
    xy, depth, colours = one.xy[None], one.depth[None], one.colours[None]
    leaves = [t.clone().requires_grad_() for t in (xy, depth, colours)]

    def draw(positions, distances, attributes):
        return interpolate(rasterize(positions, distances, one.triangles, one.size), attributes, one.triangles)

    def draw_plainly(positions, distances, attributes):
        winner = by_scatter(positions.detach(), distances.detach(), one.triangles, one.size)
        return mixture(attributes, barycentrics(positions, distances, one.triangles, winner), one.triangles, winner)

    def back(function):
        image = function(*leaves)
        return torch.autograd.grad(image, leaves, torch.ones_like(image))

    forward = [
        ("emospace", lambda: draw(xy, depth, colours)),
        ("emospace, plain torch", lambda: draw_plainly(xy, depth, colours)),
    ]
    backward = [("emospace", lambda: back(draw)), ("emospace, plain torch", lambda: back(draw_plainly))]
    return forward, backward


def deodr(one: Mesh) -> tuple[list[Candidate], list[Candidate]]:
    """DEODR (C++) without antialiasing, as here; its gradient pass insists on drawing front faces only."""
    from deodr.differentiable_renderer import Scene2D

    faces, vertices = one.triangles.numpy().astype(np.uint32), len(one.xy)

    def scene(culling: bool) -> Scene2D:
        return Scene2D(
            faces=faces,
            faces_uv=faces,
            ij=one.pixels(),
            depths=one.depth.double().numpy(),
            textured=np.zeros(len(faces), bool),
            uv=np.zeros((vertices, 2)),
            shade=np.zeros(vertices),
            colors=one.colours.double().numpy(),
            shaded=np.zeros(len(faces), bool),
            edgeflags=np.zeros((len(faces), 3), bool),
            height=one.size,
            width=one.size,
            nb_colors=3,
            texture=np.zeros((2, 2, 3)),
            background_color=np.zeros(3),
            clockwise=False,
            backface_culling=culling,
        )

    whole, front = scene(False), scene(True)
    upstream = np.ones((one.size, one.size, 3))

    def back(sigma: float):
        front.clear_gradients()
        front.render(sigma)
        front.render_backward(upstream)
        return front.ij_b

    forward = [("deodr", lambda: whole.render(0)[0]), ("deodr, front faces only", lambda: front.render(0)[0])]
    return forward, [("deodr, front faces only", lambda: back(0))]


_VERTEX = """#version 330
in vec2 position; in float depth; in vec3 colour; out vec3 passed;
void main() { gl_Position = vec4(position.x * depth, -position.y * depth, depth - 2.0, depth); passed = colour; }"""
_FRAGMENT = """#version 330
in vec3 passed; out vec4 seen;
void main() { seen = vec4(passed, 1.0); }"""


def moderngl(one: Mesh) -> tuple[list[Candidate], list[Candidate]]:
    """OpenGL through EGL: upload the vertices, draw, read the image back."""
    os.environ.setdefault("LP_NUM_THREADS", "0")
    import moderngl as gl

    context = gl.create_standalone_context(backend="egl")
    program = context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
    data = torch.cat([one.xy, one.depth[:, None], one.colours], 1).numpy().astype(np.float32)
    buffer = context.buffer(data.tobytes(), dynamic=True)
    index = context.buffer(one.triangles.numpy().astype(np.int32).tobytes())
    array = context.vertex_array(program, [(buffer, "2f 1f 3f", "position", "depth", "colour")], index)
    target = context.framebuffer(
        [context.texture((one.size, one.size), 4, dtype="f4")], context.depth_renderbuffer((one.size, one.size))
    )
    context.enable(gl.DEPTH_TEST)

    def draw():
        buffer.write(data)
        target.use()
        target.clear()
        array.render()
        return np.frombuffer(target.read(components=3, dtype="f4"), np.float32).reshape(one.size, one.size, 3)[::-1]

    return [(f"moderngl ({context.info['GL_RENDERER'].split(' (')[0]})", draw)], []


def agreement(reference: Any, image: Any) -> float:
    """Share of pixels whose colour two renderers agree on to 0.02 (edges and ties may differ)."""
    one, other = (np.asarray(i[0].permute(1, 2, 0) if isinstance(i, torch.Tensor) else i) for i in (reference, image))
    return float((np.abs(one - other).max(-1) < 0.02).mean())


def milliseconds(function: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median and least time of one call, in ms, after two calls that do not count."""
    function(), function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), min(times)


def rows(one: Mesh, repeats: int) -> Iterator[str]:
    """One line for each candidate: what, who, median and least time, and whether the image is the same."""
    reference = ours(one)[0][0][1]()
    for group in (ours, deodr, moderngl):
        try:
            forward, backward = group(one)
        except ImportError as error:
            yield f"{'-':18} {group.__name__}: not installed ({error.name})"
            continue
        for what, candidates in (("forward", forward), ("forward + backward", backward)):
            for name, function in candidates:
                middle, least = milliseconds(function, repeats)
                same = f"{agreement(reference, function()):10.1%}" if what == "forward" else ""
                yield f"{what:18} {name:28} {middle:8.2f} {least:8.2f}{same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", help="ICT-FaceKit npz or obj folder; without it the procedural head is drawn")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    one = mesh(arguments)
    print(f"{len(one.xy):,} vertices, {len(one.triangles):,} triangles, {one.size} x {one.size}, one thread")
    print(f"{'':18} {'':28} {'median':>8} {'least':>8} ms  same pixels")
    for row in rows(one, arguments.repeats):
        print(row, flush=True)


if __name__ == "__main__":
    main()

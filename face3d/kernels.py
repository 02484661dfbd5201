"""CPU kernels of the rasteriser: which triangle each pixel sees, interpolation inside it, and the adjoints of that."""

from collections.abc import Callable
from math import ceil, floor
from typing import Any, no_type_check

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled to one thread of machine code on first call, releasing the interpreter lock."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


NEAR = 1e-6
"""Triangles with a corner nearer to the camera than this are not drawn."""

EDGE = 1e-9
"""Pixels this little outside a triangle (share of its height) count as inside, so that no crack opens on an edge."""

LEAST_LENGTH = 1e-12
"""Vectors shorter than this are divided by it and not by their length, as torch's `normalize` does."""

_FLAT = 1e-30


@compiled
@no_type_check
def draw(xy, depth, triangles, winner):
    """Fill `winner` [b, h, w] with the nearest triangle at each pixel centre (-1: none).

    xy [b, v, 2] are normalised coordinates (y down), depth [b, v] distances; on equal depth the first triangle wins.
    """
    batch, height, width = winner.shape
    points = np.empty((xy.shape[1], 3))
    nearest = np.empty((height, width))
    for n in range(batch):
        for v in range(xy.shape[1]):
            points[v, 0] = (xy[n, v, 0] + 1.0) * 0.5 * width - 0.5
            points[v, 1] = (xy[n, v, 1] + 1.0) * 0.5 * height - 0.5
            points[v, 2] = 1.0 / depth[n, v] if depth[n, v] >= NEAR else -1.0
        seen = winner[n]
        seen[:] = -1
        nearest[:] = 0.0
        for t in range(triangles.shape[0]):
            _draw_triangle(points, triangles[t, 0], triangles[t, 1], triangles[t, 2], t, seen, nearest)


@compiled
@no_type_check
def _draw_triangle(points, a, b, c, t, winner, nearest):
    ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
    bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
    cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    if not (_FLAT < abs(area) < 1 / _FLAT) or az <= 0 or bz <= 0 or cz <= 0:
        return
    height, width = winner.shape
    left, right = ceil(max(min(ax, bx, cx), 0.0)), floor(min(max(ax, bx, cx), width - 1.0))
    top, bottom = ceil(max(min(ay, by, cy), 0.0)), floor(min(max(ay, by, cy), height - 1.0))
    b_dx, b_dy = (cy - ay) / area, (ax - cx) / area
    c_dx, c_dy = (ay - by) / area, (bx - ax) / area
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            in_b = (x - ax) * b_dx + (y - ay) * b_dy
            in_c = (x - ax) * c_dx + (y - ay) * c_dy
            if in_b >= -EDGE and in_c >= -EDGE and in_b + in_c <= 1.0 + EDGE:
                inverse_depth = az + in_b * (bz - az) + in_c * (cz - az)
                if inverse_depth > nearest[y, x]:
                    nearest[y, x] = inverse_depth
                    winner[y, x] = t


@compiled
@no_type_check
def barycentrics(xy, depth, triangles, winner, out):
    """Fill `out` [b, h, w, 3] with perspective-correct weights of the winner's corners; 0 where nothing is seen."""
    batch, height, width = winner.shape
    for n in range(batch):
        for y in range(height):
            row = (2.0 * y + 1.0) / height - 1.0
            for x in range(width):
                t = winner[n, y, x]
                if t < 0:
                    out[n, y, x, 0] = out[n, y, x, 1] = out[n, y, x, 2] = 0.0
                    continue
                column = (2.0 * x + 1.0) / width - 1.0
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                ax, ay = xy[n, a, 0] - column, xy[n, a, 1] - row
                bx, by = xy[n, b, 0] - column, xy[n, b, 1] - row
                cx, cy = xy[n, c, 0] - column, xy[n, c, 1] - row
                wa = (bx * cy - cx * by) / depth[n, a]
                wb = (cx * ay - ax * cy) / depth[n, b]
                wc = (ax * by - bx * ay) / depth[n, c]
                total = wa + wb + wc
                out[n, y, x, 0] = wa / total
                out[n, y, x, 1] = wb / total
                out[n, y, x, 2] = wc / total


@compiled
@no_type_check
def barycentrics_adjoint(xy, depth, triangles, winner, weights, grad, grad_xy, grad_depth):
    """Add to `grad_xy` [b, v, 2] and `grad_depth` [b, v] what `grad` [b, h, w, 3] on the weights pulls back."""
    batch, height, width = winner.shape
    for n in range(batch):
        for y in range(height):
            row = (2.0 * y + 1.0) / height - 1.0
            for x in range(width):
                t = winner[n, y, x]
                if t < 0:
                    continue
                column = (2.0 * x + 1.0) / width - 1.0
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                ax, ay = xy[n, a, 0] - column, xy[n, a, 1] - row
                bx, by = xy[n, b, 0] - column, xy[n, b, 1] - row
                cx, cy = xy[n, c, 0] - column, xy[n, c, 1] - row
                za, zb, zc = depth[n, a], depth[n, b], depth[n, c]
                wa, wb, wc = weights[n, y, x, 0], weights[n, y, x, 1], weights[n, y, x, 2]
                ga, gb, gc = grad[n, y, x, 0], grad[n, y, x, 1], grad[n, y, x, 2]
                mean = ga * wa + gb * wb + gc * wc
                grad_depth[n, a] -= (ga - mean) * wa / za
                grad_depth[n, b] -= (gb - mean) * wb / zb
                grad_depth[n, c] -= (gc - mean) * wc / zc
                total = (bx * cy - cx * by) / za + (cx * ay - ax * cy) / zb + (ax * by - bx * ay) / zc
                ga, gb, gc = (ga - mean) / (za * total), (gb - mean) / (zb * total), (gc - mean) / (zc * total)
                grad_xy[n, a, 0] += by * gc - cy * gb
                grad_xy[n, a, 1] += cx * gb - bx * gc
                grad_xy[n, b, 0] += cy * ga - ay * gc
                grad_xy[n, b, 1] += ax * gc - cx * ga
                grad_xy[n, c, 0] += ay * gb - by * ga
                grad_xy[n, c, 1] += bx * ga - ax * gb


@compiled
@no_type_check
def interpolate(winner, weights, attributes, triangles, out):
    """Fill `out` [b, c, h, w] with attributes [b, v, c] weighted by `weights` [b, h, w, 3]; 0 where nothing is seen."""
    batch, channels, height, width = out.shape
    for n in range(batch):
        for y in range(height):
            for x in range(width):
                t = winner[n, y, x]
                if t < 0:
                    for k in range(channels):
                        out[n, k, y, x] = 0.0
                    continue
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc = weights[n, y, x, 0], weights[n, y, x, 1], weights[n, y, x, 2]
                for k in range(channels):
                    out[n, k, y, x] = wa * attributes[n, a, k] + wb * attributes[n, b, k] + wc * attributes[n, c, k]


@compiled
@no_type_check
def interpolate_adjoint(winner, weights, attributes, triangles, grad, grad_weights, grad_attributes):
    """Add to `grad_weights` and `grad_attributes` what `grad` [b, c, h, w] on the interpolated image pulls back."""
    batch, channels, height, width = grad.shape
    for n in range(batch):
        for y in range(height):
            for x in range(width):
                t = winner[n, y, x]
                if t < 0:
                    continue
                for corner in range(3):
                    v = triangles[t, corner]
                    weight = weights[n, y, x, corner]
                    for k in range(channels):
                        grad_weights[n, y, x, corner] += grad[n, k, y, x] * attributes[n, v, k]
                        grad_attributes[n, v, k] += grad[n, k, y, x] * weight


@compiled
@no_type_check
def vertex_normals(vertices, triangles, faces, lengths, out):
    """Fill `out` [b, v, 3] with unit normals; `faces` [b, t, 3] and `lengths` [b, t + v] keep what the adjoint needs.

    `faces` are the triangles' unit normals, `lengths` what they and the sums at the vertices were divided by.
    """
    batch, num = vertices.shape[0], triangles.shape[0]
    for n in range(batch):
        out[n] = 0.0
        for t in range(num):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ux, uy, uz = _difference(vertices[n], b, a)
            wx, wy, wz = _difference(vertices[n], c, b)
            x, y, z = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
            length = max(np.sqrt(x * x + y * y + z * z), LEAST_LENGTH)
            lengths[n, t] = length
            faces[n, t, 0], faces[n, t, 1], faces[n, t, 2] = x / length, y / length, z / length
            for corner in range(3):
                for k in range(3):
                    out[n, triangles[t, corner], k] += faces[n, t, k]
        for v in range(vertices.shape[1]):
            x, y, z = out[n, v, 0], out[n, v, 1], out[n, v, 2]
            length = max(np.sqrt(x * x + y * y + z * z), LEAST_LENGTH)
            lengths[n, num + v] = length
            for k in range(3):
                out[n, v, k] /= length


@compiled
@no_type_check
def vertex_normals_adjoint(vertices, triangles, faces, lengths, normals, grad, sums, grad_vertices):
    """Add to `grad_vertices` what `grad` [b, v, 3] on the normals pulls back; `sums` [b, v, 3] is room to work in."""
    num = triangles.shape[0]
    for n in range(vertices.shape[0]):
        for v in range(vertices.shape[1]):
            along = 0.0
            for k in range(3):
                along += grad[n, v, k] * normals[n, v, k]
            for k in range(3):
                sums[n, v, k] = (grad[n, v, k] - along * normals[n, v, k]) / lengths[n, num + v]
        for t in range(num):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            gx = sums[n, a, 0] + sums[n, b, 0] + sums[n, c, 0]
            gy = sums[n, a, 1] + sums[n, b, 1] + sums[n, c, 1]
            gz = sums[n, a, 2] + sums[n, b, 2] + sums[n, c, 2]
            fx, fy, fz = faces[n, t, 0], faces[n, t, 1], faces[n, t, 2]
            along = gx * fx + gy * fy + gz * fz
            gx, gy, gz = (
                (gx - along * fx) / lengths[n, t],
                (gy - along * fy) / lengths[n, t],
                (gz - along * fz) / lengths[n, t],
            )
            ux, uy, uz = _difference(vertices[n], b, a)
            wx, wy, wz = _difference(vertices[n], c, b)
            first = wy * gz - wz * gy, wz * gx - wx * gz, wx * gy - wy * gx
            second = gy * uz - gz * uy, gz * ux - gx * uz, gx * uy - gy * ux
            for k in range(3):
                grad_vertices[n, a, k] -= first[k]
                grad_vertices[n, b, k] += first[k] - second[k]
                grad_vertices[n, c, k] += second[k]


@compiled
@no_type_check
def _difference(points, to, start):
    return points[to, 0] - points[start, 0], points[to, 1] - points[start, 1], points[to, 2] - points[start, 2]


@compiled
@no_type_check
def solve_in_box(square, pull, low, high, out, sweeps):
    """Move `out` [b, n] towards the least of x A x / 2 - p x within low..high, by coordinate descent from its start."""
    batch, num = pull.shape
    for n in range(batch):
        slope = pull[n] - square[n] @ out[n]
        for _ in range(sweeps):
            for i in range(num):
                value = min(max(out[n, i] + slope[i] / square[n, i, i], low[n, i]), high[n, i])
                change = value - out[n, i]
                if change != 0.0:
                    out[n, i] = value
                    for j in range(num):
                        slope[j] -= square[n, i, j] * change

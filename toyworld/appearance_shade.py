"""CPU kernels that turn a lit mesh and an atlas into pixels."""

from typing import no_type_check

import numpy as np

from face3d.kernels import compiled


@compiled
@no_type_check
def normals(vertices, triangles, out):
    """Fill `out` [v, 3] with unit vertex normals, each triangle counting by its area."""
    out[:] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            out[k, 0] += nx
            out[k, 1] += ny
            out[k, 2] += nz
    for v in range(out.shape[0]):
        length = (out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) ** 0.5 + 1e-12
        out[v, 0] /= length
        out[v, 1] /= length
        out[v, 2] /= length


@compiled
@no_type_check
def light(normal, gamma, shadow, albedo, shine, lit, out):
    """Fill `out` [v, 7]: albedo times light, light, and specular, under spherical harmonics gamma [3, 9]."""
    for v in range(normal.shape[0]):
        x, y, z = normal[v, 0], normal[v, 1], normal[v, 2]
        for k in range(3):
            value = lit[0] * (gamma[k, 0] + 0.8)
            value += lit[1] * (-gamma[k, 1] * y + gamma[k, 2] * z - gamma[k, 3] * x)
            value += lit[2] * (gamma[k, 4] * x * y - gamma[k, 5] * y * z - gamma[k, 7] * x * z)
            value += lit[2] * (0.5 / 3**0.5 * gamma[k, 6] * (3 * z * z - 1) + 0.5 * gamma[k, 8] * (x * x - y * y))
            value = max(value, 0.02) * shadow[v]
            out[v, k] = albedo[v, k] * value
            out[v, 3 + k] = value
        facing = max(0.0, 0.12 * x + 0.28 * y + 0.95 * z)
        out[v, 6] = shine[v] * facing**24 * shadow[v]


@compiled
@no_type_check
def paint(winner, xy, depth, triangles, attributes, atlas_places, atlas, background, factor, out):
    """Fill `out` [s, s, 3] uint8 from a supersampled visibility map [s * factor, s * factor].

    A triangle is shaded once for each pixel that it shows in, at the middle of its samples there, and counts by them.
    """
    size, share = out.shape[0], 1.0 / (factor * factor)
    corners = _corners(xy, depth, attributes, atlas_places)
    colour, total = np.empty(3, np.float32), np.empty(3, np.float32)
    for y in range(size):
        for x in range(size):
            top, left = y * factor, x * factor
            total[:] = 0.0
            for i in range(top, top + factor):
                for j in range(left, left + factor):
                    t = winner[i, j]
                    count, row, column = _samples(winner, t, top, left, i, j, factor)
                    if count == 0:
                        continue
                    if t < 0:
                        colour[:] = background[y, x]
                    else:
                        _shade(corners, triangles[t, 0], triangles[t, 1], triangles[t, 2], row, column, atlas, colour)
                    for k in range(3):
                        total[k] += np.float32(count * share) * colour[k]
            for k in range(3):
                out[y, x, k] = np.uint8(min(max(total[k], 0.0), 1.0) * 255.0 + 0.5)


@compiled
@no_type_check
def _samples(winner, t, top, left, y, x, factor):
    """How many samples of a pixel show triangle t, and the middle of them in normalised coordinates (y, x).

    None where (y, x) is not the first of them.
    """
    count, row, column = 0, 0, 0
    for i in range(top, top + factor):
        for j in range(left, left + factor):
            if winner[i, j] == t:
                if count == 0 and (i != y or j != x):
                    return 0, 0.0, 0.0
                count, row, column = count + 1, row + i, column + j
    if t < 0:
        return count, 0.0, 0.0
    scale = 2.0 / winner.shape[0]
    return count, (row / count + 0.5) * scale - 1.0, (column / count + 0.5) * scale - 1.0


@compiled
@no_type_check
def _corners(xy, depth, attributes, atlas_places):
    """What is read of a vertex side by side [v, 12]: x, y, 1 / depth, place in the atlas, seven attributes."""
    out = np.empty((xy.shape[0], 12), np.float32)
    out[:, 0:2] = xy
    out[:, 2] = 1.0 / depth
    out[:, 3:5] = atlas_places
    out[:, 5:] = attributes
    return out


@compiled
@no_type_check
def _shade(corners, a, b, c, row, column, atlas, colour):
    """Colour [3] of a triangle at a point: lit albedo as far as the atlas lets it through, the atlas's own, shine."""
    ax, ay = corners[a, 0] - column, corners[a, 1] - row
    bx, by = corners[b, 0] - column, corners[b, 1] - row
    cx, cy = corners[c, 0] - column, corners[c, 1] - row
    wa = (bx * cy - cx * by) * corners[a, 2]
    wb = (cx * ay - ax * cy) * corners[b, 2]
    wc = (ax * by - bx * ay) * corners[c, 2]
    whole = 1.0 / (wa + wb + wc)
    wa, wb, wc = np.float32(wa * whole), np.float32(wb * whole), np.float32(wc * whole)
    u = wa * corners[a, 3] + wb * corners[b, 3] + wc * corners[c, 3]
    v = wa * corners[a, 4] + wb * corners[b, 4] + wc * corners[c, 4]
    u, v = min(max(u, 0.0), atlas.shape[1] - 1.001), min(max(v, 0.0), atlas.shape[0] - 1.001)
    left, top = int(u), int(v)
    fu, fv = np.float32(u - left), np.float32(v - top)
    cover = _texel(atlas, top, left, fv, fu, 3)
    shine = wa * corners[a, 11] + wb * corners[b, 11] + wc * corners[c, 11]
    for k in range(3):
        lit = wa * corners[a, 5 + k] + wb * corners[b, 5 + k] + wc * corners[c, 5 + k]
        light = wa * corners[a, 8 + k] + wb * corners[b, 8 + k] + wc * corners[c, 8 + k]
        colour[k] = lit * cover + light * _texel(atlas, top, left, fv, fu, k) + shine


@compiled
@no_type_check
def _texel(atlas, top, left, fv, fu, k):
    """Channel k of the atlas between four texels."""
    upper = atlas[top, left, k] + fu * (atlas[top, left + 1, k] - atlas[top, left, k])
    lower = atlas[top + 1, left, k] + fu * (atlas[top + 1, left + 1, k] - atlas[top + 1, left, k])
    return upper + fv * (lower - upper)

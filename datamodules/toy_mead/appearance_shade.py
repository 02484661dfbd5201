"""CPU kernels that turn a lit mesh and an atlas into pixels."""

from typing import no_type_check

import numpy as np

from face3d.compiled import compiled


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
    """Fill `out` [s, s, 3] uint8 from a supersampled visibility map [s * factor, s * factor]."""
    size, fine = out.shape[0], winner.shape[0]
    height, width = atlas.shape[0], atlas.shape[1]
    share = 1.0 / (factor * factor)
    values = np.empty(7, np.float32)
    for y in range(size):
        for x in range(size):
            red = green = blue = 0.0
            for sub in range(factor * factor):
                i, j = y * factor + sub // factor, x * factor + sub % factor
                t = winner[i, j]
                if t < 0:
                    red += background[y, x, 0]
                    green += background[y, x, 1]
                    blue += background[y, x, 2]
                    continue
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                column, row = (2.0 * j + 1.0) / fine - 1.0, (2.0 * i + 1.0) / fine - 1.0
                ax, ay = xy[a, 0] - column, xy[a, 1] - row
                bx, by = xy[b, 0] - column, xy[b, 1] - row
                cx, cy = xy[c, 0] - column, xy[c, 1] - row
                wa = (bx * cy - cx * by) / depth[a]
                wb = (cx * ay - ax * cy) / depth[b]
                wc = (ax * by - bx * ay) / depth[c]
                total = wa + wb + wc
                wa, wb, wc = np.float32(wa / total), np.float32(wb / total), np.float32(wc / total)
                for k in range(7):
                    values[k] = wa * attributes[a, k] + wb * attributes[b, k] + wc * attributes[c, k]
                u = wa * atlas_places[a, 0] + wb * atlas_places[b, 0] + wc * atlas_places[c, 0]
                v = wa * atlas_places[a, 1] + wb * atlas_places[b, 1] + wc * atlas_places[c, 1]
                u, v = min(max(u, 0.0), width - 1.001), min(max(v, 0.0), height - 1.001)
                left, top = int(u), int(v)
                fu, fv = np.float32(u - left), np.float32(v - top)
                w00, w01 = (1 - fu) * (1 - fv), fu * (1 - fv)
                w10, w11 = (1 - fu) * fv, fu * fv
                p00, p01 = atlas[top, left], atlas[top, left + 1]
                p10, p11 = atlas[top + 1, left], atlas[top + 1, left + 1]
                keep = w00 * p00[3] + w01 * p01[3] + w10 * p10[3] + w11 * p11[3]
                red += (
                    values[0] * keep
                    + values[3] * (w00 * p00[0] + w01 * p01[0] + w10 * p10[0] + w11 * p11[0])
                    + values[6]
                )
                green += (
                    values[1] * keep
                    + values[4] * (w00 * p00[1] + w01 * p01[1] + w10 * p10[1] + w11 * p11[1])
                    + values[6]
                )
                blue += (
                    values[2] * keep
                    + values[5] * (w00 * p00[2] + w01 * p01[2] + w10 * p10[2] + w11 * p11[2])
                    + values[6]
                )
            out[y, x, 0] = np.uint8(min(max(red * share, 0.0), 1.0) * 255.0 + 0.5)
            out[y, x, 1] = np.uint8(min(max(green * share, 0.0), 1.0) * 255.0 + 0.5)
            out[y, x, 2] = np.uint8(min(max(blue * share, 0.0), 1.0) * 255.0 + 0.5)

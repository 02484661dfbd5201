"""The bare warp of a portrait: still where nothing moves, and nearer to the moved face than the portrait held still."""

import torch

from face3d.renderer import Renderer, warp_source


def test_the_portraits_own_coefficients_leave_it_as_it_is(small_head, coefficients, placement):
    renderer, picture = Renderer(small_head, 48), torch.rand(3, 48, 48) * 2 - 1
    own = coefficients[:1].expand(20, -1), placement[:1].expand(20, -1)
    frames = warp_source(renderer, picture, coefficients[0], placement[0], *own)
    assert frames.shape == (20, 3, 48, 48)
    torch.testing.assert_close(frames, picture.expand_as(frames), atol=1e-3, rtol=0)


def test_the_warped_portrait_is_nearer_to_the_moved_face_than_the_portrait(small_head, coefficients, placement):
    renderer = Renderer(small_head, 64)
    moved = coefficients[:1].repeat(3, 1)
    moved[:, 224:227] += torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.15]])
    places = placement[:1].expand(3, -1)
    source, true = renderer(coefficients[:1], placement[:1]), renderer(moved, places)
    picture = source.image[0].float()
    frames = warp_source(renderer, picture, coefficients[0], placement[0], moved, places)
    face = true.mask.bool().expand_as(frames)
    warped, held = ((one - true.image).abs()[face].mean() for one in (frames, picture.expand_as(frames)))
    assert warped < 0.6 * held
    coarse = warp_source(Renderer(small_head, 32), picture, coefficients[0], placement[0], moved, places)
    assert ((coarse - true.image).abs()[face].mean()) < 0.9 * held


def test_off_the_face_the_portrait_stays(small_head, coefficients, placement):
    renderer, picture = Renderer(small_head, 48), torch.rand(3, 48, 48) * 2 - 1
    frames = warp_source(renderer, picture, coefficients[0], placement[0], coefficients[1:2], placement[1:2])
    outside = renderer(coefficients[1:2], placement[1:2]).mask[0, 0] == 0
    torch.testing.assert_close(frames[0][:, outside], picture[:, outside], atol=1e-5, rtol=0)

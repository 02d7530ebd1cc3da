"""The similarity transform against its definition, and what the warp leaves black."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.geometry import CROP, TEMPLATE, misfit, similarity, template, warp

RNG = np.random.default_rng(5)
FACES = 60 + 40 * RNG.standard_normal((50, 5, 2))


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama 1991, eqns 34-43: singular value decomposition, the sign kept to a rotation."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    source, target = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(target.T @ source / len(source))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(singular) @ sign) / source.var(0).sum()
    linear = scale * u @ sign @ vt
    return np.column_stack([linear, target_mean - linear @ source_mean])


def test_agrees_with_umeyama_by_singular_values() -> None:
    expected = np.stack([umeyama(face, TEMPLATE) for face in FACES])
    np.testing.assert_allclose(similarity(FACES), expected, atol=1e-9)


def test_mirrored_face_is_turned_and_shrunk_but_never_mirrored() -> None:
    matrix = similarity(TEMPLATE * [-1, 1])
    np.testing.assert_allclose(matrix, umeyama(TEMPLATE * [-1, 1], TEMPLATE), atol=1e-9)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_is_the_least_squares_optimum() -> None:
    """A face, a nudge of each of the four parameters: the squared distance grows."""
    face = FACES[0]
    best = similarity(face)

    def distance(matrix: np.ndarray) -> float:
        return ((face @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE) ** 2).sum()

    turn = np.array([[0, -1, 0], [1, 0, 0]])
    grow = np.array([[1, 0, 0], [0, 1, 0]])
    right = np.array([[0, 0, 1], [0, 0, 0]])
    down = np.array([[0, 0, 0], [0, 0, 1]])
    for nudge in (turn, grow, right, down):
        for step in (-1e-3, 1e-3):
            assert distance(best + step * nudge) > distance(best)


def by_least_squares(face: np.ndarray) -> tuple[float, float]:
    """Residual and turn from the four parameters a, b, c, d of x' = ax - by + c, y' = bx + ay + d,
    as a general solver finds them."""
    rows, goal = [], []
    for (x, y), (u, v) in zip(face, TEMPLATE, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        goal += [u, v]
    (a, b, *_), (squares,), *_ = np.linalg.lstsq(np.array(rows), np.array(goal), rcond=None)
    return (squares / ((TEMPLATE - TEMPLATE.mean(0)) ** 2).sum()) ** 0.5, np.degrees(
        np.arctan2(b, a)
    )


def test_misfit_agrees_with_a_general_solver() -> None:
    faces = np.concatenate([FACES, TEMPLATE + RNG.normal(0, 3, (50, 5, 2))])
    expected = np.array([by_least_squares(face) for face in faces])
    np.testing.assert_allclose(np.stack(misfit(faces), axis=1), expected, rtol=0, atol=1e-9)


def test_misfit_is_the_distance_that_similarity_leaves() -> None:
    matrix = similarity(FACES)
    mapped = np.einsum("nij,nkj->nki", matrix[:, :, :2], FACES) + matrix[:, None, :, 2]
    spread = ((TEMPLATE - TEMPLATE.mean(0)) ** 2).sum()
    expected = np.sqrt(((mapped - TEMPLATE) ** 2).sum((1, 2)) / spread)
    np.testing.assert_allclose(misfit(FACES)[0], expected, atol=1e-12)


def test_misfit_of_similar_and_of_mirrored_faces() -> None:
    """No residual after any turn, size and place; nearly all of it for a mirror image."""
    turned = np.exp(1j * np.radians(-25)) * 3.1 * (TEMPLATE @ [1, 1j]) + 40 - 7j
    residual, turn = misfit(np.stack([turned.real, turned.imag], axis=1))
    assert residual < 1e-7  # the square root of float64's rounding
    assert turn == pytest.approx(25)
    assert misfit(TEMPLATE * [-1, 1])[0] > 0.95
    assert misfit(TEMPLATE[:, ::-1])[0] > 0.95
    assert abs(misfit(112 - TEMPLATE)[1]) == pytest.approx(180)


def test_misfit_to_several_targets() -> None:
    goals = np.stack([TEMPLATE, TEMPLATE[::-1]])
    residual, turn = misfit(FACES[:, None], goals)
    for column, goal in enumerate(goals):
        once = misfit(FACES, goal)
        np.testing.assert_allclose(residual[:, column], once[0], atol=1e-12)
        np.testing.assert_allclose(turn[:, column], once[1], atol=1e-9)


@pytest.mark.parametrize("face", [np.full((5, 2), 30.0), np.full((5, 2), np.nan)])
def test_misfit_of_what_is_not_a_face_is_nan(face: np.ndarray) -> None:
    with np.errstate(all="raise"):
        residual, turn = misfit(np.stack([face, TEMPLATE]))
    assert np.isnan([residual[0], turn[0]]).all()
    assert np.isfinite([residual[1], turn[1]]).all()


def test_recovers_a_known_transform() -> None:
    degrees, scale, shift = 25.0, 1.7, np.array([12.0, -30.0])
    turn = np.exp(1j * np.radians(degrees)) * scale
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    face = (TEMPLATE - shift) @ np.linalg.inv(linear).T
    np.testing.assert_allclose(similarity(face), np.column_stack([linear, shift]), atol=1e-9)


@pytest.mark.parametrize("where", [0.0, 50.0, 123.456, 1e4])
def test_points_that_coincide_give_nan(where: float) -> None:
    faces = FACES.astype(np.float32)
    faces[3] = [where, where / 3]
    matrices = similarity(faces)
    assert np.isnan(matrices[3]).all()
    assert np.isfinite(np.delete(matrices, 3, axis=0)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unknown_landmarks_give_nan_and_no_warning(value: float) -> None:
    faces = FACES[:2].copy()
    faces[0, 2, 1] = value
    with np.errstate(all="raise"):
        matrices = similarity(faces)
    assert np.isnan(matrices[0]).all()
    assert np.isfinite(matrices[1]).all()


def test_batches_of_any_shape() -> None:
    nested = similarity(FACES.reshape(5, 10, 5, 2))
    assert nested.shape == (5, 10, 2, 3)
    np.testing.assert_array_equal(nested.reshape(50, 2, 3)[17], similarity(FACES)[17])
    assert similarity(np.zeros((0, 5, 2))).shape == (0, 2, 3)


def test_templates_of_other_sizes() -> None:
    np.testing.assert_allclose(template(224), 2 * TEMPLATE)
    np.testing.assert_allclose(template(128), TEMPLATE + np.array([8, 0]))
    np.testing.assert_allclose(template(256), 2 * TEMPLATE + np.array([16, 0]))
    for size in (0, 100, -112):
        with pytest.raises(ValueError, match="multiple of 112 or 128"):
            template(size)


def test_warp_moves_pixels_and_leaves_the_outside_black() -> None:
    image = RNG.integers(1, 256, (90, 80, 3), dtype=np.uint8)
    right, down = 7, 11
    crop = warp(image, np.array([[1.0, 0, right], [0, 1, down]]))
    assert crop.shape == (CROP, CROP, 3)
    np.testing.assert_array_equal(crop[down : down + 90, right : right + 80], image)
    crop[down : down + 90, right : right + 80] = 0
    assert not crop.any()


def test_warp_may_draw_the_edge_out() -> None:
    image = RNG.integers(1, 256, (20, 30, 3), dtype=np.uint8)
    crop = warp(image, np.array([[1.0, 0, 7], [0, 1, 11]]), size=50, outside="edge")
    expected = np.pad(image, [(11, 19), (7, 13), (0, 0)], mode="edge")
    np.testing.assert_array_equal(crop, expected)


def test_warp_is_bilinear() -> None:
    """Half a pixel to the right is the mean of two neighbours; grey images stay grey."""
    image = np.tile(np.array([10, 20, 60, 100], np.uint8), (4, 1))
    crop = warp(image, np.array([[1.0, 0, 0.5], [0, 1, 0]]), size=4)
    assert crop.shape == (4, 4)
    np.testing.assert_array_equal(crop[1], [5, 15, 40, 80])


def test_landmarks_land_on_the_template() -> None:
    """A dot at each landmark of a turned face shows at the template's place in the crop."""
    pose = np.array([[0.9, -0.3, 30.0], [0.3, 0.9, 5.0]])
    face = TEMPLATE @ pose[:, :2].T + pose[:, 2]
    for point, goal in zip(face, TEMPLATE, strict=True):
        image = np.zeros((160, 160), np.uint8)
        column, row = np.rint(point).astype(int)
        image[row - 1 : row + 2, column - 1 : column + 2] = 255
        crop = warp(image, similarity(face)).astype(float)
        rows, columns = np.mgrid[:CROP, :CROP]
        centre = [(crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()]
        assert np.abs(centre - goal).max() < 1  # the dot itself lies on whole pixels

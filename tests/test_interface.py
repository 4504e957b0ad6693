"""The Python interface: its names, what they cost to import, and that they do what the rooms do."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w
from physics_tiny import TINY as SURVEY

import jax_inversion
from jax_inversion import physics
from jax_inversion.arrays import numbers
from jax_inversion.errors import UserError

FAST = {"spacing_m": 20.0, "background_km_s": "none"}


def in_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_else():
    code = "import sys, jax_inversion; print(*[m for m in ('jax', 'numpy', 'matplotlib') if m in sys.modules])"
    assert in_python(code) == ""


def test_every_name_is_there_and_stays_the_function_when_its_front_door_is_imported():
    code = (
        "import jax_inversion as ji, jax_inversion.simulate, jax_inversion.refine, jax_inversion.score, sys;"
        "print(all(getattr(ji, name) is not None for name in ji.__all__), callable(ji.simulate), callable(ji.score),"
        "callable(ji.refine), callable(sys.modules['jax_inversion.simulate'].main), set(ji.__all__) <= set(dir(ji)))"
    )
    assert set(in_python(code).split()) == {"True"}
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        jax_inversion.simulat  # noqa: B018


def test_simulate_is_the_simulator_and_differentiable():
    velocity = np.linspace(1.5, 2.5, SURVEY.nx * SURVEY.nz, dtype=np.float32).reshape(SURVEY.model_shape)
    found = jax_inversion.simulate(velocity, SURVEY, **FAST)
    assert found.shape == SURVEY.gathers_shape
    np.testing.assert_array_equal(found, physics.simulate(velocity, SURVEY, spacing_m=20.0))
    slope = jax.grad(lambda model: jnp.square(jax_inversion.simulate(model, SURVEY, **FAST)).sum())(velocity)
    assert slope.shape == velocity.shape and np.abs(slope).max() > 0
    with pytest.raises(UserError, match="settings are spacing_m, order"):
        jax_inversion.simulate(velocity, SURVEY, spacing=20.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "NoneType of object"),
        ("model.npy", "str of <U9"),
        ([[1.0, 2.0], [3.0]], "cannot be made one"),
        (np.ones(SURVEY.model_shape, complex), "ndarray of complex128"),
    ],
)
def test_what_holds_no_numbers_is_one_line(given, said):
    with pytest.raises(UserError, match=f"truth: .*{said}"):
        numbers("truth", given)


def test_wrong_arrays_are_one_line_in_every_function():
    code = """if True:
        import numpy as np, jax_inversion as ji
        model, words = np.full(ji.CHALLENGE.model_shape, 2.0), "no array"
        for call in (lambda: ji.load(3), lambda: ji.score(model, words), lambda: ji.score(words, model),
                     lambda: ji.plot_model(words), lambda: ji.plot_model(model[0]), lambda: ji.plot_gathers(words),
                     lambda: ji.simulate(words)):
            try:
                call()
            except ji.UserError as error:
                print(error)
    """
    said = in_python(code).splitlines()  # in a process of its own: the tests' would check types before
    assert len(said) == 7 and "3 is no path" in said[0]


def test_score_and_figures_of_arrays():
    truth = np.linspace(1.5, 4.0, SURVEY.nx * SURVEY.nz).reshape(SURVEY.model_shape)
    found = jax_inversion.score(truth, 1.1 * truth, SURVEY)
    assert found["mape"] == pytest.approx(0.1) and found["mae"] == pytest.approx(0.1 * truth.mean())
    with pytest.raises(UserError, match="equal shapes"):
        jax_inversion.score(truth, truth[:-1], SURVEY)
    assert len(jax_inversion.plot_model(1.1 * truth, SURVEY, truth=truth).axes) > 3
    assert len(jax_inversion.plot_gathers(np.ones(SURVEY.gathers_shape), SURVEY).axes) == SURVEY.shots
    with pytest.raises(UserError, match="shot, time, receiver"):
        jax_inversion.plot_gathers(truth, SURVEY)


def test_a_survey_is_read_from_a_preset_and_what_is_wrong_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps({"survey": SURVEY.as_dict(), "train": {"epochs": 3}}))
    assert jax_inversion.Survey.load(path) == SURVEY
    path.write_text("[train]\nepochs = 3\n")
    assert jax_inversion.Survey.load(path) == jax_inversion.CHALLENGE
    for changed, words in (
        ({"nx": "many"}, "mine.toml: survey.nx: .* found 'many'"),
        ({"depth": 3}, "unknown key survey.depth; known: nx, nz"),
        ({"dt_s": -1.0}, "survey.dt_s is -1.0; it must be a positive number"),
    ):
        path.write_text(tomli_w.dumps({"survey": SURVEY.as_dict() | changed}))
        with pytest.raises(UserError, match=words):
            jax_inversion.Survey.load(path)
    path.write_text(tomli_w.dumps({"survey": {"nx": 4}}))
    with pytest.raises(UserError, match="lacks nz, spacing_m"):
        jax_inversion.Survey.load(path)
    with pytest.raises(UserError, match="no such file"):
        jax_inversion.Survey.load(tmp_path / "none.toml")

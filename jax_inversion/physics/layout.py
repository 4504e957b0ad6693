"""What the time loops work on: the sizes known at compile time, the medium, the sources and receivers."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Layer(NamedTuple):
    """Absorbing strips across one axis, at the far end or at both, and the coefficients of their cells in order."""

    axis: int  # -2: x, -1: depth
    both: bool
    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def width(self) -> int:
        return len(self.a) // (1 + self.both)


class Layout(NamedTuple):
    """What the loops must know at compile time. All lengths in cells and steps."""

    spacing_m: float
    step_s: float
    nz: int  # the grid's rows
    steps: int  # a whole number of turns
    in_place: bool  # fields with a rim of zeros, written over outworn ones
    source_steps: int  # the source is silent from here on
    taps: tuple[float, ...]
    foot: int  # the deepest row that a source or receiver touches, plus one
    receiver_columns: tuple[int, int]
    receiver_rows: tuple[int, int]
    free_surface: bool
    layers: tuple[Layer, ...]  # of a CPML
    windows: bool
    keep_triples: int  # the gradient keeps one step of this many triples; 0: every step
    keep_half: bool  # as bfloat16
    hear: bool  # the gradient with respect to the source terms is wanted
    memory: str  # store or recompute

    @property
    def turn(self) -> int:
        """Triples of steps from one kept step to the next."""
        return max(1, self.keep_triples)

    @property
    def record_slab(self) -> tuple[slice, slice]:
        """Columns and rows around the receivers."""
        return slice(*self.receiver_columns), slice(*self.receiver_rows)


class Medium(NamedTuple):
    """m = slowness squared in s^2/m^2 (*batch, X, Z) and the damping in s/m^2 (X, Z), both on the padded grid."""

    m: Float[Array, "*batch X Z"]
    damp: Float[Array, "X Z"]


class Acquisition(NamedTuple):
    """Source terms, one a step, in amplitude times m^2 (a unit point source), and sinc weights of both ends.

    The receivers' weights along x are not needed here: a record has all columns that they touch.
    """

    terms: Float[Array, " step"]
    source_x: Float[Array, "shot X"]
    source_z: Float[Array, " Z"]
    receiver_z: Float[Array, " Z"]

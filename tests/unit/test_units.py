"""Quantities: read exactly, refused without their unit, and the same after being written and read again."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuromirror.units import UNITS, Dimension, Quantity, parse_quantity

SI_VALUE = {
    "h": Fraction(3600),
    "min": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
    "us": Fraction(1, 10**6),
    "Hz": Fraction(1),
    "kHz": Fraction(1000),
    "V": Fraction(1),
    "mV": Fraction(1, 1000),
}
DIMENSIONS: tuple[Dimension, ...] = ("time", "rate", "voltage")
UNIT_NAMES = st.sampled_from(sorted(SI_VALUE))
PROPERTIES = {"s": "s", "ms": "ms", "Hz": "Hz", "mV": "mV"}
USUAL = st.floats(-1e12, 1e12) | st.floats(-1e-3, 1e-3)


@st.composite
def decimals(draw: st.DrawFn) -> str:
    """Draw a decimal number as people write it."""
    sign = draw(st.sampled_from(["", "+", "-"]))
    whole, part = draw(st.integers(0, 10**9)), draw(st.text("0123456789", max_size=9))
    form = draw(st.sampled_from(["{whole}", "{whole}.{part}", ".{part}0"]))
    power = draw(st.sampled_from(["", "e3", "E-4", "e+02", "e-12"]))
    return sign + form.format(whole=whole, part=part) + power


def unit_of(dimension: Dimension) -> st.SearchStrategy[str]:
    """Draw a unit of a dimension."""
    return st.sampled_from([name for name in SI_VALUE if UNITS[name][0] == dimension])


def test_every_unit_is_tested() -> None:
    assert set(SI_VALUE) == set(UNITS)


@given(number=decimals(), unit=UNIT_NAMES, blanks=st.tuples(*[st.sampled_from(["", " ", "  ", "\t"])] * 3))
@settings(deadline=None)
def test_a_text_gives_the_nearest_float_of_its_si_value(number: str, unit: str, blanks: tuple[str, str, str]) -> None:
    before, between, after = blanks
    found = parse_quantity(f"{before}{number}{between}{unit}{after}", UNITS[unit][0])
    assert found == Quantity(float(Fraction(number) * SI_VALUE[unit]), UNITS[unit][0])
    assert math.copysign(1, found.si) == 1 or found.si != 0  # no negative zero, which would print otherwise


@given(si=st.floats(allow_nan=False, allow_infinity=False), dimension=st.sampled_from(DIMENSIONS))
@example(si=5e-324, dimension="time")
@example(si=1.7976931348623157e308, dimension="rate")
@example(si=1 / 3, dimension="voltage")
@example(si=0.1 + 0.2, dimension="time")
@settings(deadline=None, max_examples=300)
def test_a_quantity_that_is_written_reads_as_itself(si: float, dimension: Dimension) -> None:
    quantity = Quantity(si + 0.0, dimension)
    assert parse_quantity(str(quantity), dimension) == quantity


@given(value=USUAL, name=st.sampled_from(sorted(PROPERTIES)))
@settings(deadline=None)
def test_a_value_is_read_back_in_the_unit_that_it_was_given_in(value: float, name: str) -> None:
    quantity = parse_quantity(f"{value!r} {name}", UNITS[name][0])
    assert getattr(quantity, name) == pytest.approx(value, rel=1e-15, abs=1e-300)


@given(number=decimals(), units=st.sampled_from(DIMENSIONS).flatmap(lambda d: st.tuples(unit_of(d), unit_of(d))))
@settings(deadline=None)
def test_equal_values_in_two_units_are_equal(number: str, units: tuple[str, str]) -> None:
    small, large = sorted(units, key=SI_VALUE.__getitem__)
    ratio = SI_VALUE[large] / SI_VALUE[small]
    assert ratio.denominator == 1
    with localcontext(prec=60):
        smaller = f"{Decimal(number) * ratio.numerator} {small}"
    dimension = UNITS[large][0]
    assert parse_quantity(smaller, dimension) == parse_quantity(f"{number} {large}", dimension)


@pytest.mark.parametrize(
    ("text", "dimension", "shown"),
    [
        ("20 ms", "time", "20 ms"),
        ("0.02 s", "time", "20 ms"),
        ("1500 ms", "time", "1.5 s"),
        ("1 min", "time", "60 s"),
        ("0 ms", "time", "0 s"),
        ("-0 ms", "time", "0 s"),
        ("2 us", "time", "2 us"),
        ("2 µs", "time", "2 us"),
        ("2 μs", "time", "2 us"),
        ("0.1 kHz", "rate", "100 Hz"),
        ("-0.07 V", "voltage", "-70 mV"),
        ("1.23456789 mV", "voltage", "1.23456789 mV"),
    ],
)
def test_quantities_are_shown_in_the_usual_unit_of_their_size(text: str, dimension: Dimension, shown: str) -> None:
    assert str(parse_quantity(text, dimension)) == shown


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize(
    "text",
    [
        *("", "ms", "20", "1,5 ms", "20 ms 3", "20 parsec", "nan ms", "inf s", "1e999 s", "1e9999 s", "--1 s"),
        *("1e s", "0x1 s", "20 Ms", "1 HZ", ". s", "+ s", "2 0 ms", "1_0 ms", "20\nms\n3", "²0 ms"),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_is_wanted(text: str, dimension: Dimension) -> None:
    with pytest.raises(ValueError, match=f"Expected a {dimension} with its unit") as refused:
        parse_quantity(text, dimension)
    assert str(refused.value).startswith(repr(text))


@pytest.mark.parametrize("found", [20, 0.02, True, None, ["20 ms"], b"20 ms"])
def test_what_is_no_text_has_no_unit(found: object) -> None:
    with pytest.raises(ValueError, match="has no unit"):
        parse_quantity(found, "time")


@given(number=decimals(), unit=UNIT_NAMES, dimension=st.sampled_from(DIMENSIONS))
@settings(deadline=None)
def test_a_unit_of_another_dimension_is_refused(number: str, unit: str, dimension: Dimension) -> None:
    own = UNITS[unit][0]
    if own == dimension:
        return
    with pytest.raises(ValueError, match=f"'{unit}' is a unit of {own}") as refused:
        parse_quantity(f"{number} {unit}", dimension)
    for wanted in (name for name, (of, _) in UNITS.items() if of == dimension):
        assert wanted in str(refused.value)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_a_text_gives_a_finite_quantity_or_a_value_error(text: str) -> None:
    try:
        quantity = parse_quantity(text, "time")
    except ValueError:
        return
    assert math.isfinite(quantity.si)


def test_a_quantity_is_passed_through_if_it_fits() -> None:
    quantity = Quantity(0.02, "time")
    assert parse_quantity(quantity, "time") is quantity
    with pytest.raises(ValueError, match="20 ms is a time"):
        parse_quantity(quantity, "rate")


@pytest.mark.parametrize("name", sorted(PROPERTIES))
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_quantity_is_read_in_units_of_its_own_dimension_only(name: str, dimension: Dimension) -> None:
    quantity = Quantity(1.0, dimension)
    if UNITS[name][0] == dimension:
        assert getattr(quantity, name) == float(1 / SI_VALUE[name])
    else:
        with pytest.raises(TypeError, match=f"a {dimension} was read in {name}"):
            getattr(quantity, name)


def test_an_unknown_dimension_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no dimension 'length'"):
        parse_quantity("1 s", "length")  # type: ignore[arg-type]

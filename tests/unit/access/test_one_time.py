"""One-time codes: RFC 6238's vectors, drift, and that a code works once."""

import base64
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.access import one_time
from cdp.vault.primitives import one_time_code
from cdp.vault.secret import Secret

SEED = Secret(b"12345678901234567890")
# RFC 6238, appendix B, SHA-1, the last six of eight digits.
VECTORS = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}
moments = st.datetimes(dt.datetime(2001, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
seeds = st.binary(min_size=20, max_size=20).map(Secret)


@pytest.mark.parametrize("second", sorted(VECTORS))
def test_the_vectors_of_the_standard(second: int) -> None:
    """RFC 6238, appendix B: the same codes at the same seconds."""
    at = dt.datetime.fromtimestamp(second, dt.UTC)
    assert one_time_code(SEED, one_time.step_at(at)) == VECTORS[second]
    assert one_time.matching_step(SEED, VECTORS[second], at, None) == second // 30


@given(seeds, moments, st.integers(-5, 5))
def test_a_code_is_good_one_step_each_way(seed: Secret, now: dt.datetime, drift: int) -> None:
    """One-time 1: a code is good in its half minute and its neighbours, and in no other."""
    here = one_time.step_at(now)
    near = {one_time_code(seed, here + at) for at in (-1, 0, 1)}
    code = one_time_code(seed, here + drift)
    found = one_time.matching_step(seed, code, now, None)
    if abs(drift) <= 1:
        assert found is not None
        assert one_time_code(seed, found) == code
    else:
        assert (found is not None) == (code in near)


@given(seeds, moments, st.integers(-1, 1), st.integers(-3, 3))
def test_no_code_at_or_before_the_last_used_step(seed, now, drift, used) -> None:
    """One-time 2: after a code was used, neither it nor an older one is good again."""
    here = one_time.step_at(now)
    last = here + used
    found = one_time.matching_step(seed, one_time_code(seed, here + drift), now, last)
    assert found is None or found > last
    if drift > used:
        assert found is not None


@given(seeds, moments, st.text(max_size=8))
def test_anything_may_be_typed(seed: Secret, now: dt.datetime, typed: str) -> None:
    """One-time 3: what is no code of the three steps is None, whatever it is."""
    here = one_time.step_at(now)
    near = {one_time_code(seed, here + at) for at in (-1, 0, 1)}
    assert (one_time.matching_step(seed, typed, now, None) is not None) == (typed in near)


def test_every_step_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """One-time 3: three comparisons, whether the first fits, the last or none."""
    counted: list[int] = []
    real = one_time.primitives.same
    monkeypatch.setattr(
        one_time.primitives, "same", lambda a, b: (counted.append(1), real(a, b))[1]
    )
    now = dt.datetime.fromtimestamp(1111111109, dt.UTC)
    here = one_time.step_at(now)
    for code in (
        *(one_time_code(SEED, here + at) for at in (-1, 0, 1)),
        "",
        "x" * 90,
        "９９９９９９",
    ):
        counted.clear()
        one_time.matching_step(SEED, code, now, None)
        assert len(counted) == 3


@given(st.binary(min_size=1, max_size=40))
def test_the_seed_as_typed_is_base_32(seed: bytes) -> None:
    """RFC 4648 base 32 without padding, which is what apps take."""
    expected = base64.b32encode(seed).decode().rstrip("=")
    assert one_time.base_32(Secret(seed)) == expected


def test_the_address_for_the_app() -> None:
    """The key URI that apps read, with everything named that they could guess otherwise."""
    assert one_time.address(SEED, "clerk.bj01") == (
        "otpauth://totp/Kith:clerk.bj01?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=Kith&algorithm=SHA1&digits=6&period=30"
    )


def test_recovery_codes_are_ten_different_ones_read_in_any_spelling() -> None:
    """Ten codes of 80 bits; blanks, hyphens, capitals and look-alikes do not matter."""
    codes = one_time.recovery_codes()
    assert len(set(codes)) == 10
    for code in codes:
        plain = one_time.typed_recovery(code)
        assert len(plain) == 16
        loud = code.replace("0", "O").replace("1", "l").replace("-", " ").upper()
        assert one_time.typed_recovery(loud) == plain

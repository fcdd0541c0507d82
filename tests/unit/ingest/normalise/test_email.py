import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.ingest.normalise.email import Email, normalise_email, read_email
from cdp.ingest.normalise.result import Problem


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Ada@Example.com", "ada@example.com"),
        (" ada@example.com\n", "ada@example.com"),
        ("ＡＤＡ＠example。com", "ada@example.com"),
        ("<ada@example.com>;", "ada@example.com"),
        ("mailto:ada@example.com", "ada@example.com"),
        ("ada@shop.invalid", "ada@shop.invalid"),
        ("ada@shop.test", "ada@shop.test"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("张三@example.com", "张三@example.com"),
        ("ada@münchen.example", "ada@münchen.example"),
    ],
)
def test_an_address_has_one_spelling(text, address):
    """Width, case and wrapping go; the reserved test domains are accepted."""
    email = normalise_email(text)
    assert isinstance(email, Email)
    assert email.address == address
    assert f"{email.local}@{email.domain}" == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("A.d.a+shop@gmail.com", "ada@gmail.com"),
        ("ada@googlemail.com", "ada@gmail.com"),
        ("a.da+shop@outlook.com", "a.da@outlook.com"),
        ("a.da+x@163.com", "a.da+x@163.com"),
        ("ada+x@qq.com", "ada+x@qq.com"),
    ],
)
def test_only_documented_provider_rules_join_addresses(text, address):
    """Invariant 2: dots and tags go only where the provider says that they do not matter."""
    email = normalise_email(text)
    assert isinstance(email, Email)
    assert email.address == address


@pytest.mark.parametrize(
    ("text", "number"),
    [("104857601@qq.com", "104857601"), ("ada@qq.com", None), ("104857601@example.com", None)],
)
def test_a_qq_address_shows_its_number(text, number):
    """An address made of a QQ number names that number."""
    email = normalise_email(text)
    assert isinstance(email, Email)
    assert email.qq == number


@pytest.mark.parametrize("local", ["test", "null", "noreply", "no-reply", "info", "123456"])
def test_an_address_that_names_nobody_is_flagged(local):
    """A filler or shared mailbox is read, and flagged so that it joins nobody."""
    email = normalise_email(f"{local}@example.com")
    assert isinstance(email, Email)
    assert email.placeholder


def test_an_ordinary_address_is_not_flagged():
    """A person's address is no filler."""
    email = normalise_email("ada.test@example.com")
    assert isinstance(email, Email)
    assert not email.placeholder


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("null", "empty"),
        ("ada", "invalid"),
        ("@example.com", "invalid"),
        ("ada@", "invalid"),
        ("a..b@example.com", "invalid"),
        ("ada@localhost", "invalid"),
        ("a b@example.com", "invalid"),
        ("ada@-x.com", "invalid"),
        ("+tag@gmail.com", "invalid"),
        ("a" * 65 + "@example.com", "invalid"),
        ("a***@example.com", "masked"),
        ("a" * 321, "too_long"),
        ("ada\ud800@example.com", "unreadable"),
    ],
)
def test_what_is_no_address_has_a_rule(text, rule):
    """Each refusal names its rule and says what to do."""
    answer = normalise_email(text)
    assert isinstance(answer, Problem)
    assert answer.rule == rule


ascii_addresses = st.builds(
    "{}@{}.{}".format,
    st.text("abz019._+-", min_size=1, max_size=70),
    st.text("abz019.-", min_size=1, max_size=12),
    st.sampled_from(["com", "cn", "invalid", "test", "local", "xn--p1ai", "c0m", "arpa"]),
)


@settings(max_examples=120, deadline=None)
@given(ascii_addresses)
def test_the_fast_path_equals_the_full_path(text):
    """Invariant 1: the fast path accepts nothing that the library refuses, and alters nothing."""
    assert normalise_email(text) == read_email(text)


@settings(max_examples=120, deadline=None)
@given(
    st.text("aB.+-é张'!ßİ", min_size=1, max_size=8),
    st.sampled_from(["gmail.com", "outlook.com", "qq.com", "a.invalid", "ß.example", "例子.中国"]),
)
def test_a_canonical_address_stays_as_it_is(local, domain):
    """Normalising an address twice is normalising it once."""
    email = normalise_email(f"{local}@{domain}")
    if isinstance(email, Email):
        assert normalise_email(email.canonical) == email

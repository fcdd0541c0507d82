"""Files that a policy is made of, and what is refused in them."""

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import casbin
import pytest

import policies
from policies import enforcer
from policies.declarations import read_masking
from policies.enforcer import (
    ask,
    build_enforcer,
    compile_policy,
    holding,
    load_policy,
    read_source,
)
from policies.errors import PoliciesError, PolicyRefusedError
from policies.policyfile import Rules, read_rules
from policies.vocabulary import (
    EVERY_CIRCUMSTANCES,
    NO_CIRCUMSTANCES,
    SENSITIVE,
    Action,
    Effect,
    FieldClass,
    Purpose,
    Role,
    Treatment,
    deniable,
    grantable,
    needs_approval,
)

HOME = Path(policies.__file__).parent
GOOD = "p, clerk, read, phone, mask, service, allow\n"
BAD_LINES = {
    "empty file": ("", None, "no p line"),
    "comments only": ("# p, clerk\n\n", None, "no p line"),
    "groups only": ("g, phone, contact\n", None, "no p line"),
    "unknown role": (GOOD.replace("clerk", "root"), 1, "unknown role 'root'"),
    "unknown action": (GOOD.replace("read", "peek"), 1, "unknown action 'peek'"),
    "unknown field": (GOOD.replace("phone", "fax"), 1, "unknown field or group 'fax'"),
    "unknown treatment": (GOOD.replace("mask", "blur"), 1, "unknown treatment 'blur'"),
    "unknown purpose": (GOOD.replace("service", "fun"), 1, "unknown purpose 'fun'"),
    "unknown effect": (GOOD.replace("allow", "maybe"), 1, "unknown effect 'maybe'"),
    "wildcard": (GOOD.replace("phone", "*"), 1, "unknown field or group"),
    "capitals": (GOOD.replace("clerk", "Clerk"), 1, "unknown role"),
    "unknown kind of line": ("p2" + GOOD[1:], 1, "starts with 'p2'"),
    "byte order mark": ("\ufeff" + GOOD, 1, "starts with"),
    "too few columns": ("p, clerk, read\n", 1, "3 columns instead of 7 or 8"),
    "too many columns": (GOOD.strip() + ", on_shift, allow\n", 1, "9 columns instead of 7 or 8"),
    "open quote": (GOOD + 'p, clerk, "read, phone\n' + GOOD, 2, "not a line of CSV"),
    "text after a quote": ('p, "clerk"x, read, phone, mask, service, allow', 1, "not a line"),
    "bracket": (GOOD.replace("phone", "(phone"), 1, "unknown field or group"),
    "contradiction": (GOOD + GOOD.replace("allow", "deny"), 2, "contradicts line 1"),
    "repetition": (GOOD + "\n" + GOOD, 3, "repeats line 1"),
    "unknown condition": (GOOD.strip() + ", at_night", 1, "unknown condition 'at_night'"),
    "no condition": (GOOD.strip() + ",", 1, "unknown condition ''"),
    "condition twice": (GOOD.strip() + ", on_shift+on_shift", 1, "unknown condition"),
    "formula": (GOOD.strip() + ", r.role == p.role", 1, "unknown condition"),
    "conditional denial": (GOOD.replace("allow", "deny, on_shift"), 1, "denies under a condition"),
    "condition beside none": (GOOD + GOOD.replace("allow", "allow, on_shift"), 2, "repeats"),
    "none beside a condition": (GOOD.replace("allow", "allow, on_shift") + GOOD, 2, "repeats"),
    "needless condition": (
        GOOD.replace("allow", "allow, on_shift")
        + GOOD.replace("allow", "allow, at_store+on_shift"),
        2,
        "repeats line 1",
    ),
    "denial of a conditional": (
        GOOD.replace("allow", "allow, on_shift") + GOOD.replace("allow", "deny"),
        2,
        "contradicts line 1",
    ),
    "counting by a mask": ("p, clerk, count, city, mask, service, allow", 1, "write clear"),
    "group named like a field": ("g, phone, email\n" + GOOD, 1, "cannot name a group"),
    "group with a bad name": ("g, phone, a b\n" + GOOD, 1, "cannot name a group"),
    "unknown member": ("g, fax, contact\n" + GOOD, 1, "unknown field 'fax'"),
    "group in a group": ("g, phone, one\ng, one, two\n" + GOOD, 2, "unknown field 'one'"),
    "member twice": ("g, phone, one\ng, phone, one\n" + GOOD, 2, "cannot join"),
    "no field in a group": ("g, none, one\n" + GOOD, 1, "cannot join"),
    "masked reveal": ("p, clerk, reveal, phone, mask, service, allow", 1, "write clear"),
    "clear search": ("p, clerk, find, phone, clear, service, allow", 1, "write omit"),
    "action that shows": ("p, clerk, read, none, clear, service, allow", 1, "write omit"),
    "denial of what nobody is granted": (
        "p, clerk, find, phone, mask, service, deny",
        1,
        "find on phone cannot be denied with mask",
    ),
    "denial of a clear search": ("p, clerk, find, phone, clear, service, deny", 1, "write omit"),
    "denial of what shows nothing": (
        "p, clerk, merge, none, clear, service, deny",
        1,
        "write omit",
    ),
    "denial of half a reveal": ("p, clerk, reveal, phone, mask, service, deny", 1, "write omit"),
    "denial of a reveal": ("p, clerk, reveal, phone, clear, service, deny", 1, "write omit"),
    "denial down to nothing": ("p, clerk, read, phone, mask, service, deny", 1, "omit or clear"),
    "omitted reading": ("p, clerk, read, phone, omit, service, allow", 1, "write mask or clear"),
}


@pytest.mark.parametrize(("text", "line", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_policy_line_is_refused(text, line, message):
    """Invariant 1: a bad line stops the load, with its number and the next step."""
    with pytest.raises(PolicyRefusedError) as caught:
        read_rules(text)
    assert caught.value.line == line
    assert message in str(caught.value)
    assert "Next:" in str(caught.value)
    assert isinstance(caught.value, PoliciesError)


def test_two_conditions_are_two_ways():
    """Lines that each need something else stand beside each other: either is enough."""
    on, at = GOOD.replace("allow", "allow, on_shift"), GOOD.replace("allow", "allow, at_store")
    assert [rule.condition.word for rule in read_rules(on + at).rules] == ["on_shift", "at_store"]


def test_a_good_file_keeps_its_line_numbers():
    """Comments, blanks, quotes and Windows line ends change nothing but line numbers."""
    parsed = read_rules('# x "\r\n\r\n g, phone, mine\r\np,"clerk",read, mine ,mask,service,allow')
    assert [rule.text for rule in parsed.rules] == [
        "line 4: p, clerk, read, mine, mask, service, allow"
    ]
    assert parsed.fields_of("mine") == {FieldClass.PHONE}


@pytest.fixture
def files(tmp_path):
    for name in ("model.conf", "policy.csv", "purposes.yaml", "masking.yaml"):
        shutil.copy(HOME / name, tmp_path / name)
    return tmp_path


FILE_FAULTS = {
    "no purpose": ("purposes.yaml", "  legal:\n", "  lawful:\n", "'lawful' is unknown"),
    "basis": ("purposes.yaml", "legal_duty", "because", "unknown legal basis 'because'"),
    "basis of a kind": ("purposes.yaml", "legal_duty", "[1]", "unknown legal basis"),
    "consent": ("purposes.yaml", "consent: true", "consent: maybe", "not true or false"),
    "saying": ("purposes.yaml", "says: Mess", "says: ''  # Mess", "says nothing"),
    "purpose key": ("purposes.yaml", "sensitive: true", "secret: true", "not fully declared"),
    "version": ("purposes.yaml", "version: 1", "version: 2", "version 2 is unknown"),
    "yaml": ("purposes.yaml", "purposes:", "purposes: [", "not valid YAML"),
    "yaml tag": ("masking.yaml", "phone: phone", "phone: !!python/name:os.x", "not valid YAML"),
    "key twice": ("masking.yaml", "gender: whole", "phone: whole", "key twice"),
    "list as key": ("masking.yaml", "gender: whole", "[a]: whole", "not valid YAML"),
    "no section": ("masking.yaml", "masks:", "veils:", "exactly version and masks"),
    "no mapping": ("masking.yaml", "version: 1\nmasks:", "version: 1\nmasks: 3\nx:", "exactly"),
    "unknown mask": ("masking.yaml", "phone: phone", "phone: veil", "unknown mask 'veil'"),
    "unknown field": ("masking.yaml", "gender: whole", "fax: whole", "'fax' is unknown"),
    "missing field": ("masking.yaml", "  gender: whole\n", "", "gender is missing"),
    "sensitive": (
        "policy.csv",
        "reveal, contact, clear, service",
        "reveal, sensitive, clear, service",
        "sensitive tier out",
    ),
    "effect": ("model.conf", "&& !some(where (p.eft == deny))", "", "definition e is"),
    "request": ("model.conf", "r = role, action", "r = action, role", "definition r is"),
    "two matchers": ("model.conf", "[matchers]", "[matchers]\nm = true", "second one"),
    "second policy": ("model.conf", "[matchers]", "[matchers]\nm2 = true", "'m2' is unknown"),
    "no definition": ("model.conf", "[matchers]", "[matchers]\nhello", "no definition"),
    "unheard condition": ("model.conf", "g3(r.circumstances, p.condition) && ", "", "definition m"),
    "no matcher": ("model.conf", "m = r.role", "# m = r.role", "definition m is missing"),
    "no role": ("model.conf", "m = r.role == p.role && ", "m = ", "definition m is"),
    "or": ("model.conf", "&& g(r.field", "|| g(r.field", "definition m is"),
    "regex": ("model.conf", "g(r.field, p.field)", "regexMatch(r.field, p.field)", "definition m"),
    "eval": ("model.conf", "g(r.field, p.field)", "eval(p.field)", "definition m is"),
    "blank in a word": ("model.conf", '"deny"', '"de ny"', "definition m is"),
    "blank before a word": ("model.conf", '"deny"', '" deny"', "definition m is"),
    "blank in a single-quoted word": ("model.conf", '"deny"', "'de ny'", "definition m is"),
    "another kind of quote": ("model.conf", '"allow"', "'allow'", "definition m is"),
    "open quote": ("model.conf", '"deny"', '"deny', "definition m is"),
    "remark behind": ("model.conf", "g2 = _, _", "g2 = _, _ # order", "definition g2 is"),
    "no policy": ("policy.csv", "p, ", "# p, ", "no p line"),
    "two lines": ("purposes.yaml", "says: Mess", 'says: "a\\nb" #', "a line of printable"),
    "escape": ("purposes.yaml", "says: Mess", 'says: "a\\x1b[2Jb" #', "a line of printable"),
    "one line back": ("purposes.yaml", "says: Mess", 'says: "a\\rb" #', "a line of printable"),
    "backwards": ("purposes.yaml", "says: Mess", 'says: "a\\u202eb" #', "a line of printable"),
    "invisible": ("purposes.yaml", "says: Mess", 'says: "a\\u200bb" #', "a line of printable"),
    "too long": ("purposes.yaml", "says: Mess", f"says: {'a' * 201}  #", "a line of printable"),
    "alias": ("purposes.yaml", "version: 1", "version: &one 1", "not valid YAML"),
    "bomb": (
        "purposes.yaml",
        "version: 1",
        "version: [" + "&a [x,x,x,x], " + "*a, *a]",
        "not valid YAML",
    ),
    "deep": ("masking.yaml", "gender: whole", f"gender: {'[' * 5000}{']' * 5000}", "not valid"),
}


@pytest.mark.parametrize(("name", "old", "new", "message"), FILE_FAULTS.values(), ids=FILE_FAULTS)
def test_a_bad_file_is_refused(files, name, old, new, message):
    """Invariants 1 and 6: a file that is changed beyond what is understood does not load."""
    text = (files / name).read_text(encoding="utf-8")
    assert old in text
    (files / name).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PolicyRefusedError) as caught:
        load_policy(files)
    assert message in str(caught.value)
    assert caught.value.source == name


def test_a_section_that_is_no_mapping_is_refused():
    """Invariant 1: a section holds a mapping."""
    with pytest.raises(PolicyRefusedError, match="masks is not a mapping"):
        read_masking("version: 1\nmasks: 3\n")


@pytest.mark.parametrize("name", ["model.conf", "policy.csv", "purposes.yaml", "masking.yaml"])
def test_a_missing_or_foreign_file_is_refused(files, name):
    """Invariant 1: a missing file, or one that is not UTF-8, names itself."""
    (files / name).write_bytes("# 策略".encode("gb18030"))
    with pytest.raises(PolicyRefusedError, match="not UTF-8"):
        load_policy(files)
    (files / name).unlink()
    with pytest.raises(PolicyRefusedError, match="cannot be read"):
        load_policy(files)


def test_lines_made_by_a_program_are_checked_as_well():
    """Invariant 1: compiling checks what was not read from a file."""
    source = read_source()
    with pytest.raises(PolicyRefusedError, match="no p line"):
        compile_policy(replace(source, rules=Rules((), {})))
    twice = Rules((source.rules.rules[0],) * 2, source.rules.groups)
    with pytest.raises(PolicyRefusedError, match="keep one"):
        compile_policy(
            replace(
                source,
                rules=Rules(
                    (*twice.rules[:1], replace(twice.rules[1], effect=Effect.DENY)), twice.groups
                ),
            )
        )


def test_an_enforcer_that_allows_everything_is_not_believed(monkeypatch):
    """Invariant 5: a switched-off Casbin says yes to all; the load stops."""
    source = read_source()
    real = enforcer.build_enforcer

    def switched_off(rules):
        built = real(rules)
        built.enabled = False
        return built

    monkeypatch.setattr(enforcer, "build_enforcer", switched_off)
    with pytest.raises(PolicyRefusedError, match="no line names"):
        compile_policy(source)


def test_casbin_hears_the_vocabulary_only(monkeypatch):
    """Invariant 3: every word that reaches Casbin is a word of the vocabulary."""
    heard = set()
    original = casbin.Enforcer.enforce

    def listening(self, *words):
        heard.update(words)
        return original(self, *words)

    monkeypatch.setattr(casbin.Enforcer, "enforce", listening)
    source = read_source()
    compile_policy(source)
    vocabulary = {
        *Role,
        *Action,
        *FieldClass,
        *Purpose,
        *(treatment.word for treatment in Treatment),
        *map(holding, EVERY_CIRCUMSTANCES),
    }
    assert heard - vocabulary <= {"nobody", *source.rules.groups}


class _Collecting(logging.Handler):
    def __init__(self):
        super().__init__(level=0)
        self.records = []

    def emit(self, record):
        self.records.append(record)


def test_casbin_writes_no_log():
    """Invariant 4: neither a load nor a question is logged, even with its loggers forced on."""
    source = read_source()
    built = build_enforcer(source.rules)
    collecting = _Collecting()
    names = ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role")
    loggers = [logging.getLogger(name) for name in names]  # noqa: TID251 (Casbin's own loggers)
    try:
        for logger in loggers:
            logger.disabled = False
            logger.setLevel(logging.DEBUG)
            logger.addHandler(collecting)
        held = holding(NO_CIRCUMSTANCES)
        question = ("clerk", "read", "phone", "mask", "service", held)
        assert ask(built, question)
        assert not ask(built, ("clerk", "read", "phone", "clear", "service", held))
        assert collecting.records == []
        compile_policy(source)
        assert collecting.records == []
    finally:
        for logger in loggers:
            logger.removeHandler(collecting)
            logger.setLevel(logging.NOTSET)
            logger.disabled = True


def test_version_is_of_the_content(files):
    """Invariant 7: comments, blanks and order do not change a version; a word does."""
    policy = files / "policy.csv"
    policy.write_text(
        "g, gender, mine\np, clerk, read, gender, clear, service, allow\n" + GOOD, encoding="utf-8"
    )
    first = load_policy(files).version
    assert re.fullmatch("[0-9a-f]{64}", first)
    lines = policy.read_text(encoding="utf-8").splitlines()
    policy.write_text("\n".join(["# another comment", *reversed(lines)]), encoding="utf-8")
    assert load_policy(files).version == first
    for name, old, new in (
        ("policy.csv", "p, clerk, read, gender, clear", "p, clerk, read, gender, mask"),
        ("masking.yaml", "phone: phone", "phone: whole"),
        ("purposes.yaml", "consent: false", "consent: true"),
    ):
        before = load_policy(files).version
        text = (files / name).read_text(encoding="utf-8")
        (files / name).write_text(text.replace(old, new), encoding="utf-8")
        assert load_policy(files).version != before, name


def test_every_shipped_line_means_something():
    """Each line of the shipped policy grants what can be granted, or denies what can be had."""
    rules = read_source().rules
    for rule in rules.rules:
        fit = grantable if rule.effect is Effect.ALLOW else deniable
        for field in rules.fields_of(rule.target):
            assert rule.treatment in fit(rule.action, field), rule.text


SENSITIVE_LINES = [
    (action, field, word, purpose)
    for action in ("read", "list", "count", "publish", "reveal", "export")
    for field in ("national_id", "bank_card", "sensitive")
    for word in ("mask", "clear")
    for purpose in ("fraud", "legal")
]


@pytest.mark.parametrize("line", SENSITIVE_LINES, ids="-".join)
def test_a_sensitive_field_is_clear_with_a_second_person_only(files, line):
    """Invariant 8: no line shows an ID number or a bank card clear but where one must approve."""
    action, field, word, purpose = line
    policy = files / "policy.csv"
    policy.write_text(
        "g, national_id, sensitive\ng, bank_card, sensitive\n"
        f"p, headquarters, {action}, {field}, {word}, {purpose}, allow\n"
    )
    masked = word == "mask" and action in {"read", "list", "publish", "export"}
    if masked or (word == "clear" and action in {"reveal", "export"}):
        table = load_policy(files).table
        members = SENSITIVE if field == "sensitive" else {field}
        for one in members:
            assert table["headquarters", action, one, purpose][0].treatment.word == word
        if word == "clear":
            assert all(needs_approval(action, one) for one in members)
        return
    with pytest.raises(PolicyRefusedError, match=f"{action} on .* cannot be granted with {word}"):
        load_policy(files)


@pytest.mark.parametrize("fault", [ValueError("x"), RecursionError(), KeyError("r")], ids=repr)
def test_an_enforcer_that_fails_is_a_refused_policy(monkeypatch, fault):
    """Invariant 1: whatever goes wrong in Casbin stops the load, with a next step."""

    def failing(self, *words):
        raise fault

    monkeypatch.setattr(casbin.Enforcer, "enforce", failing)
    with pytest.raises(PolicyRefusedError, match="cannot be evaluated"):
        compile_policy(read_source())


def test_blanks_between_signs_change_nothing(files):
    """Invariant 7: the model may be set out otherwise; what it says is one thing."""
    before = load_policy(files)
    model = files / "model.conf"
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace(" && ", "&&").replace("g, g2", "g,   g2").replace("==", " ==\t"))
    assert load_policy(files) == before

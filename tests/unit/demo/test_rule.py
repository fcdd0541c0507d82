import csv

import pytest

from cdp.demo.counter import LEGACY_HEADER, POS_HEADER
from cdp.demo.files import csv_line, json_line, write_lines, write_workbook
from cdp.demo.online import SHOP_HEADER
from cdp.demo.rule import CAP, plain_phone, rule_clusters
from identity.evaluate import evaluate

PHONE, OTHER = "13912345678", "13987654321"


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("13912345678", PHONE),
        ("+86 139-1234-5678", PHONE),
        ("008613912345678", PHONE),
        ("１３９１２３４５６７８", PHONE),
        (" 139 1234 5678。", PHONE),
        ("139****5678", None),
        ("18877771111-123", None),
        ("1391234567", None),
        ("1.39E+10", None),
        ("", None),
    ],
)
def test_a_plain_phone_has_eleven_digits(typed, plain):
    """The rule strips what is no digit and the country prefix; the rest must be eleven digits."""
    assert plain_phone(typed) == plain


def write(folder, pos=(), shop=(), miniprogram=(), wecom=(), legacy=()):
    data = folder / "data"
    data.mkdir()
    pos_rows = [[card, "", phone, *[""] * (len(POS_HEADER) - 3)] for card, phone in pos]
    shop_rows = [[buyer, "", phone, *[""] * (len(SHOP_HEADER) - 3)] for buyer, phone in shop]
    tables = (("pos", "gb18030", POS_HEADER, pos_rows), ("shop", "utf-8", SHOP_HEADER, shop_rows))
    for name, encoding, header, rows in tables:
        lines = [csv_line(cells, encoding) for cells in (header, *rows)]
        write_lines(data / f"{name}.csv", lines, b"\n")
    write_lines(data / "miniprogram.jsonl", map(json_line, miniprogram), b"\n")
    write_lines(data / "wecom.jsonl", map(json_line, wecom), b"\n")
    write_workbook(data / "legacy.xlsx", "会员", [LEGACY_HEADER, *legacy])


def test_same_phone_or_same_union_id_is_one_person(tmp_path):
    """Records chain through phones and union ids across all five sources, and no further."""
    write(
        tmp_path,
        pos=[("c1", f"+86{PHONE}"), ("c2", OTHER)],
        shop=[("b1", PHONE), ("b2", f"{PHONE}-123")],
        miniprogram=[{"openid": "o1", "unionid": "u", "phone_info": {"purePhoneNumber": PHONE}}],
        wecom=[{"external_userid": "w1", "unionid": "u", "remark_mobiles": []}],
        legacy=[["L1", "", int(PHONE)], [None, "", int(PHONE)]],
    )
    clusters = rule_clusters(tmp_path)
    together = {("pos", "c1"), ("shop", "b1"), ("miniprogram", "o1"), ("wecom", "w1")}
    together.add(("legacy", "L1"))
    assert len({clusters[record] for record in together}) == 1
    assert len({clusters["pos", "c1"], clusters["pos", "c2"], clusters["shop", "b2"]}) == 3
    assert set(clusters) == together | {("pos", "c2"), ("shop", "b2")}


@pytest.mark.parametrize(("records", "clusters"), [(CAP, 1), (CAP + 1, CAP + 1)])
def test_a_number_on_too_many_records_joins_nobody(tmp_path, records, clusters):
    """Fifty records on a number are joined; from fifty-one on, the number is ignored."""
    write(tmp_path, pos=[(f"c{at}", PHONE) for at in range(records)])
    assert len(set(rule_clusters(tmp_path).values())) == clusters


def test_rule_on_the_world_is_good_and_not_perfect(written):
    """On a demo world the rule finds most linkable pairs, joins strangers, and misses half."""
    with (written.folder / "truth.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    keys = [(row["source"], row["record_id"]) for row in rows]
    people = dict(zip(keys, (row["person_id"] for row in rows), strict=True))
    groups = dict(zip(keys, (row["linkable_id"] for row in rows), strict=True))
    result = evaluate(rule_clusters(written.folder), people, groups)
    assert result.unpredicted == 0
    assert 0.7 < result.precision < 0.92
    assert 0.9 < result.linkable_recall < 0.98
    assert result.recall < 0.6

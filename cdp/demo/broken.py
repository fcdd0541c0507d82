"""Rows that no reader should accept, a few a file, so that rejections can be shown.

They belong to nobody: the truth does not list them. Each is kept with the rule it
breaks, so that a test can look for it.
"""

from dataclasses import dataclass

from connectors.record import Raw

LONG_CELL = 2_000_000  # characters; what a pasted picture looks like in a text export
LONG_XLSX_CELL = 32_000  # a spreadsheet cell holds at most 32,767


@dataclass(frozen=True, slots=True, repr=False)
class Broken(Raw):
    """One broken row: which source, which rule, and the line's bytes or the cells."""

    source: str
    rule: str
    content: bytes | tuple[object, ...]


def _pos(line: str) -> bytes:
    return line.encode("gb18030")


def broken_rows() -> list[Broken]:
    """Return every broken row of the world."""
    return [*_broken_pos(), *_broken_shop(), *_broken_json(), *_broken_legacy()]


def _broken_pos() -> list[Broken]:
    tail = ",BJ01,2020-05-01,100.00,1,2021-01-01,否"
    return [
        # 0xFF can start no character of GB18030.
        Broken(
            "pos", "undecodable bytes", _pos("8899000001,") + b"\xff\xfe\xff" + _pos(",,,男" + tail)
        ),
        Broken("pos", "wrong column count", _pos("8899000002,孙明,13900000001,1980-01-02")),
        Broken(
            "pos", "wrong column count", _pos("8899000003,王,芳,13900000002,1980-01-02,女" + tail)
        ),
        Broken("pos", "missing record id", _pos(",李静,13900000003,1981-02-03,女" + tail)),
        Broken("pos", "impossible date", _pos("8899000004,周强,13900000004,1985-02-31,男" + tail)),
        Broken("pos", "formula cell", _pos("8899000005,=1+1,13900000005,1982-03-04,男" + tail)),
    ]


def _broken_shop() -> list[Broken]:
    tail = ",,北京市,北京市,朝阳区,建设路1号,1,10.00,2024-01-01"
    return [
        Broken(
            "shop",
            "undecodable bytes",
            b"b990000001," + "张敏".encode("gb18030") + b",13900000006" + tail.encode(),
        ),
        Broken("shop", "wrong column count", "b990000002,张敏".encode()),
        Broken("shop", "missing record id", f",张敏,13900000007{tail}".encode()),
        Broken(
            "shop", "very long cell", f"b990000003,{'长' * LONG_CELL},13900000008{tail}".encode()
        ),
        Broken(
            "shop",
            "impossible date",
            "b990000004,张敏,13900000009,,北京市,北京市,朝阳区,建设路1号,1,10.00,2024-02-30".encode(),
        ),
    ]


def _broken_json() -> list[Broken]:
    return [
        Broken("miniprogram", "not JSON", '{"openid": "oApp5x1", "nickname": "随'.encode()),
        Broken("miniprogram", "missing record id", '{"nickname": "随风"}'.encode()),
        Broken("miniprogram", "not an object", b'["oApp5x2"]'),
        Broken(
            "miniprogram", "undecodable bytes", b'{"openid": "oApp5x3", "nickname": "\xc3\x28"}'
        ),
        Broken("wecom", "not JSON", "external_userid=wmKithx1;remark=张敏".encode()),
        Broken(
            "wecom",
            "missing record id",
            '{"external_userid": "", "remark": "张敏 朝阳店"}'.encode(),
        ),
        Broken(
            "wecom", "undecodable bytes", b'{"external_userid": "wmKithx2", "remark": "\xd5\xc5"}'
        ),
    ]


def _broken_legacy() -> list[Broken]:
    return [
        Broken(
            "legacy", "missing record id", (None, "吴敏", "13900000010", "1983-04-05", None, None)
        ),
        Broken(
            "legacy",
            "impossible date",
            ("L99000001", "吴敏", "13900000011", "1985-02-31", None, None),
        ),
        Broken(
            "legacy",
            "formula cell",
            ("L99000002", '=CONCATENATE("吴","敏")', "13900000012", None, None, None),
        ),
        Broken(
            "legacy",
            "very long cell",
            ("L99000003", "吴敏", "13900000013", None, None, "长" * LONG_XLSX_CELL),
        ),
    ]

"""Which encoding a file is in: cdp source init writes it down, and `auto` reads by it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Level
from connectors.declaration import parse_source
from connectors.sources import encodings
from connectors.sources.csv_file import CsvFileSource

GERMAN = (
    "Kundennr;Name;Straße\n1;Jürgen Müller;Königstraße 3\n2;Käthe Weiß;Schloßallee 1\n"
    "3;Björn Größmann;Bärenweg 9\n4;Änne Jäger;Am Brühl 2, 3. Etage – links\n"
)
JAPANESE = (
    "会員番号,氏名,フリガナ,住所\n1,佐藤　翔太,サトウ ショウタ,東京都新宿区西新宿1-2-3\n"
    "2,髙橋　美咲,タカハシ ミサキ,大阪府大阪市北区\n3,田中　陽子,ﾀﾅｶ ﾖｳｺ,京都市左京区\n"
)
KANA = (
    "番号,氏名（ｶﾅ）,住所\n1,ｻﾄｳ ｼｮｳﾀ,ﾄｳｷｮｳﾄ ｼﾝｼﾞｭｸｸ\n2,ﾀｶﾊｼ ﾐｻｷ,ｵｵｻｶｼ ｷﾀｸ\n"
    "3,ﾀﾅｶ ﾖｳｺ,ｷｮｳﾄｼ ｻｷｮｳｸ\n4,ﾜﾀﾅﾍﾞ ﾅｵｷ,大阪市\n"
)
TAIWANESE = (
    "會員卡號,姓名,手機,地址\n1,陳怡君,0912000000,臺北市信義區松高路\n"
    "2,林志豪,0912000001,高雄市左營區\n3,黃雅雯,0912000002,臺中市西屯區\n"
)
CHINESE = (
    "会员卡号,姓名,性别,地址\n1,张伟,男,上海市徐汇区漕溪北路１２号\n2,李喆,女,北京市朝阳区\n"
    "3,王璐瑶,女,广州市天河区体育西路（三楼）\n"
)
FRENCH = "n;prénom;ville\n1;Chloé;Besançon\n2;José;Nîmes\n3;Zoë;Orléans\n"
FILES = [
    (GERMAN, "cp1252"), (FRENCH, "cp1252"), (JAPANESE, "cp932"), (KANA, "cp932"),
    (TAIWANESE, "big5"), (CHINESE, "gb18030"), (CHINESE, "utf-8"),
    (GERMAN, "utf-8"), (JAPANESE, "utf-8"),
]  # fmt: skip


def source_of(folder, text, true, declared, **changes):
    (folder / "x.csv").write_bytes(text.encode(true))
    heading = text.partition("\n")[0]
    sign = ";" if ";" in heading else ","
    columns = heading.split(sign)
    entry = {
        "connector": "csv",
        "location": "x.csv",
        "encoding": declared,
        "delimiter": sign,
        "record_id": columns[0],
        "fields": {"name": columns[1]},
        **changes,
    }
    return CsvFileSource(parse_source("shop", entry), folder)


@pytest.mark.parametrize(("text", "true"), FILES)
def test_the_encoding_in_which_a_file_makes_sense_is_found(text, true, tmp_path):
    """Files of tills and shops of several countries: what was written is what is read."""
    lines = text.encode(true).splitlines()
    assert encodings.detect(lines) == true
    source = source_of(tmp_path, text, true, "auto")
    names = [row.fields["name"][0].value.reveal(reason="test") for row in source.read()]
    sign = ";" if ";" in text else ","
    assert names == [line.split(sign)[1] for line in text.splitlines()[1:]]


@pytest.mark.parametrize(("text", "true"), FILES)
@pytest.mark.parametrize("declared", ["cp1252", "shift_jis", "big5", "gb18030", "utf-8"])
def test_a_declared_encoding_that_makes_no_sense_is_told(text, true, declared, tmp_path):
    """However well it decodes: umlauts are valid GB18030, and Chinese is valid CP1252."""
    source = source_of(tmp_path, text, true, declared)
    found = [one for one in source.check() if one.rule in {"encoding_doubtful", "wrong_encoding"}]
    if encodings.codec(declared) == true:
        assert found == []
    else:
        assert found
        assert true in " ".join(one.next_step for one in found)


def test_a_heading_that_looks_like_another_one_is_a_matter_of_the_encoding(tmp_path):
    """Where a column seems to be missing, check says that the encoding may be why."""
    source = source_of(tmp_path, GERMAN, "cp1252", "gb18030", fields={"address": "Straße"})
    found = [(one.level, one.rule) for one in source.check()]
    assert found == [(Level.WARNING, "encoding_doubtful"), (Level.ERROR, "column_missing")]


@pytest.mark.parametrize("text", ["蔺睿,阚婷\n", "男,女\n", "Łódź,Żółć,Kraków\n", "Иванов,Пётр\n"])
@pytest.mark.parametrize("encoding", ["gb18030", "cp1250", "cp1251"])
def test_what_is_not_clear_is_not_guessed_at(text, encoding):
    """Rare names alone, or languages that no encoding here is for: the answer is as it was."""
    data = text.encode(encoding, "ignore") * 3
    assert encodings.likely(data.splitlines()) in {None, "gb18030"}


def test_names_of_japanese_windows_are_read(tmp_path):
    """CP932 has characters that Shift JIS lacks, and files labelled so are full of them."""
    text = "番号,氏名\n1,髙橋\n2,山﨑\n3,①号店\n"
    source = source_of(tmp_path, text, "cp932", "shift_jis")
    found = [row.fields["name"][0].value.reveal(reason="test") for row in source.read()]
    assert found == ["髙橋", "山﨑", "①号店"]


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_an_answer(lines):
    """One of the encodings that can be declared, whatever stands there."""
    assert encodings.detect(lines) in {"utf-8", "gb18030", "big5", "cp932", "cp1252"}

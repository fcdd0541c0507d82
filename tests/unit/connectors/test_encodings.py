"""Which encoding a file is in: cdp source init writes it down, and `auto` reads by it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import declaration
from connectors.base import Level
from connectors.declaration import parse_source
from connectors.errors import Stop
from connectors.registry import SOURCES
from connectors.sources import encodings
from connectors.sources.alphabets import ALPHABETS
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
POLISH = (
    "nr;imię;miasto\n1;Łukasz;Kraków\n2;Małgorzata;Łódź\n3;Paweł Wiśniewski;Gdańsk\n"
    "4;Grażyna;Częstochowa\n"
)
CZECH = "č;jméno;město\n1;Jiří Dvořák;Plzeň\n2;Růžena Černá;Ústí nad Labem\n3;Zdeněk;Brno\n"
HUNGARIAN = "sz;név;város\n1;Kovács Ákos;Győr\n2;Tóth Jenő;Pécs\n3;Szűcs Zsófia;Kőszeg\n"
CROATIAN = "br;ime;grad\n1;Željko Kovačević;Šibenik\n2;Đurđica Perić;Čakovec\n3;Žarko;Split\n"
ROMANIAN = "nr;nume;oraş\n1;Ştefan Mureşan;Iaşi\n2;Gheorghiţă;Bucureşti\n3;Drăgan;Timişoara\n"
RUSSIAN = (
    "номер;имя;город\n1;Иванов Пётр;Москва\n2;Анна Щербакова;Санкт-Петербург\n"
    "3;ООО «Ромашка»;ул. Ленина, 5\n"
)
CAPITALS = "НОМЕР;ИМЯ;ГОРОД\n1;ИВАНОВ ПЁТР;МОСКВА\n2;АННА;КАЗАНЬ\n3;ЮЛИЯ СМИРНОВА;ОМСК\n"
UKRAINIAN = "номер;ім’я;місто\n1;Шевченко Ігор;Київ\n2;Їжак Наталія;Львів\n3;Юрій;Харків\n"
DANISH = "nr;navn;by\n1;Søren Jørgensen;Tromsø\n2;Åse Møller;Århus\n3;Bjørn Kjær;Ålesund\n"
SPANISH = "n;nombre;ciudad\n1;José Muñoz;León\n2;María Peña;A Coruña\n3;Íñigo Núñez;Cádiz\n"
ITALIAN = "n;nome;città\n1;Niccolò;Forlì\n2;Libertà;Cantù\n3;Nicolò D’Amicò;Città di Castello\n"
PORTUGUESE = "n;nome;cidade\n1;João;São Paulo\n2;Conceição Antônio;Évora\n3;Simões;Guimarães\n"
SWISS = "Nr;Name;Ort\n1;Zoë Müller;Zürich\n2;François Bär;Genève\n3;José Núñez;Délémont\n"
BORDERS = "Nr;Name;Ort\n1;Jürgen Dvořák;Köln\n2;Łukasz Müller;Görlitz\n3;Zsófia Nowák;Győr\n"
FILES = [
    (SWISS, "cp1252"), (BORDERS, "cp1250"),
    *((text, "cp1250") for text in (POLISH, CZECH, HUNGARIAN, CROATIAN, ROMANIAN)),
    *((text, "cp1251") for text in (RUSSIAN, CAPITALS, UKRAINIAN)),
    *((text, "cp1252") for text in (DANISH, SPANISH, ITALIAN, PORTUGUESE)),
    (POLISH, "utf-8"), (RUSSIAN, "utf-8"),
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
@pytest.mark.parametrize(
    "declared",
    ["cp1252", "cp1250", "cp1251", "koi8-r", "shift_jis", "big5", "gb18030", "utf-8"],
)
def test_a_declared_encoding_that_makes_no_sense_is_told(text, true, declared, tmp_path):
    """However well it decodes: umlauts are valid GB18030, and Chinese is valid CP1252."""
    source = source_of(tmp_path, text, true, declared)
    found = [one for one in source.check() if one.rule in {"encoding_doubtful", "wrong_encoding"}]
    if text.encode(true).decode(encodings.codec(declared), "replace") == text:
        assert found == []
    else:
        assert found
        assert true in " ".join(one.next_step for one in found)


def test_a_heading_that_looks_like_another_one_is_a_matter_of_the_encoding(tmp_path):
    """Where a column seems to be missing, check says that the encoding may be why."""
    source = source_of(tmp_path, GERMAN, "cp1252", "gb18030", fields={"address": "Straße"})
    found = [(one.level, one.rule) for one in source.check()]
    assert found == [(Level.WARNING, "encoding_doubtful"), (Level.ERROR, "column_missing")]


@pytest.mark.parametrize("text", ["蔺睿,阚婷\n", "甄嬛,赟喆\n"])
def test_rare_names_alone_are_of_this_house(text):
    """They make no sense anywhere else either: the answer is the encoding that is met most."""
    lines = (text * 3).encode("gb18030").splitlines()
    assert encodings.likely(lines) in {None, "gb18030"}
    assert encodings.detect(lines) == "gb18030"


UNCLEAR = [
    ("Muñoz\n", "cp1252", ["cp1252", "cp1250"]),  # or a Pole
    ("Zdeněk\n", "cp1250", ["cp1250", "cp1252"]),
    ("Иванов Пётр\n", "koi8-r", ["koi8-r"]),  # or Hebrew: it is rare by now
    ("ИВАН\n", "cp1251", ["gb18030", "cp1251"]),  # the bytes of two Chinese characters
    ("让劳\n", "gb18030", ["gb18030", "cp1251"]),  # and they are
]


@pytest.mark.parametrize(("text", "true", "named"), UNCLEAR)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_is_not_clear_is_not_guessed_at(text, true, named, kind, tmp_path):
    """A short file may be one of several: it is refused, they are named, and one is declared."""
    assert encodings.detect(text.encode(true).splitlines()) is None
    whole = f"id,name\n1,{text}" if kind == "csv" else f'{{"id": "1", "name": "{text[:-1]}"}}\n'
    (tmp_path / "x").write_bytes(whole.encode(true))
    entry = {"connector": kind, "location": "x", "record_id": "id", "fields": {"name": "name"}}
    reader = SOURCES[kind]
    source = reader(parse_source("shop", {**entry, "encoding": "auto"}), tmp_path)
    with pytest.raises(Stop) as stopped:
        list(source.read())
    assert stopped.value.rule == "encoding_unclear"
    assert all(one in stopped.value.next_step for one in named)
    assert text[:-1] not in str(stopped.value)
    source = reader(parse_source("shop", {**entry, "encoding": true}), tmp_path)
    [row] = source.read()
    assert row.fields["name"][0].value.reveal(reason="test") == text[:-1]


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("Müller\n", "cp1252"), ("Sjöström;Åre\n", "cp1252"), ("Hélène\n", "cp1252"),
        ("HÉLÈNE\n", "cp1252"), ("Größe\n", "cp1252"),
        ("Dvořák\n", "cp1250"), ("Wójcik;Łódź\n", "cp1250"), ("ŁÓDŹ\n", "cp1250"),
        ("Иванов\n", "cp1251"), ("Київ;Їжак\n", "cp1251"),
        ("张伟\n", "gb18030"), ("男,李娜\n", "gb18030"), ("朱镕基\n", "gb18030"),
        ("陳怡君\n", "big5"), ("林志豪;高雄市\n", "big5"), ("佐藤　翔太\n", "cp932"),
        ("サトウ\n", "cp932"),
    ],
)  # fmt: skip
def test_one_name_may_be_enough(text, true):
    """Where only one encoding makes a name of it, a file of one row is read."""
    assert encodings.detect(text.encode(true).splitlines()) == true


@pytest.mark.parametrize("text", ["Kraków\n", "Müller\n", "Zoë – 5 €\n", "José;Ángel\n"])
def test_where_it_does_not_matter_nobody_is_asked(text):
    """A text that says the same in two encodings is read; a wrong name of it does no harm."""
    lines = text.encode("cp1250").splitlines()
    found = encodings.detect(lines)
    assert found == "cp1252"
    assert [line.decode(found) for line in lines] == text.splitlines()


@pytest.mark.parametrize("encoding", ["cp1253", "cp1254", "cp1255", "cp1257", "cp949"])
def test_alphabets_that_nobody_declares_are_not_taken_for_others(encoding):
    """Greek, Turkish, Hebrew, Baltic, Korean: no alphabet of another language is believed."""
    text = {
        "cp1253": "Παπαδόπουλος Γιώργος;Αθήνα\nΜαρία;Θεσσαλονίκη\n",
        "cp1254": "Yıldız Şahin;İstanbul\nÇağlar Doğan;Kırşehir\nGüneş Öztürk;Muğla\n",
        "cp1255": "כהן;תל אביב\nלוי;ירושלים\n",
        "cp1257": "Kęstutis Žąsinas;Šiauliai\nJānis Bērziņš;Rīga\nŪla;Klaipėda\n",
        "cp949": "김민수;서울\n이영희;부산\n박지훈;대구\n",
    }[encoding]
    lines = text.encode(encoding).splitlines()
    assert encodings.likely(lines) in {None, "gb18030"}


@given(
    st.sampled_from(FILES),
    st.lists(st.integers(1, 3), min_size=2, max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_whatever_rows_come_none_is_read_wrongly(file, rows):
    """Of two rows or more the encoding is found, or nothing is guessed at."""
    text, true = file
    lines = text.encode(true).splitlines()
    picked = [lines[row] for row in rows if row < len(lines)]
    found = encodings.detect(picked)
    said = [line.decode(true) for line in picked]
    assert found is None or [line.decode(found, "replace") for line in picked] == said


def test_what_may_be_declared_is_known_to_the_codecs():
    """The list is that of the schema, and each of it reads text."""
    schema = Path(declaration.__file__).with_name("declaration.schema.json")
    text = schema.read_text(encoding="utf-8")
    assert json.dumps(encodings.DECLARABLE)[1:-1] in re.sub(r"\s+", " ", text)
    for one in encodings.DECLARABLE[1:]:
        assert b"id".decode(encodings.codec(one)) == "id"


def test_names_of_japanese_windows_are_read(tmp_path):
    """CP932 has characters that Shift JIS lacks, and files labelled so are full of them."""
    text = "番号,氏名\n1,髙橋\n2,山﨑\n3,①号店\n"
    source = source_of(tmp_path, text, "cp932", "shift_jis")
    found = [row.fields["name"][0].value.reveal(reason="test") for row in source.read()]
    assert found == ["髙橋", "山﨑", "①号店"]


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_an_answer(lines):
    """One of the encodings that can be declared, or that a person has to say, whatever there is."""
    can_be = {"utf-8", "gb18030", "big5", "cp932", *ALPHABETS, None}
    assert encodings.detect(lines) in can_be

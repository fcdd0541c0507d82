import collections
import csv
import math
import zipfile
from itertools import combinations

import pytest

from cdp.demo.noise import ERRORS, FACTS, PLACEHOLDERS
from cdp.demo.world import FILES, make_world, write_world
from tests.unit.demo import reading

ALL_FILES = ("truth.csv", "cdp.yaml", *(f"data/{name}" for name in FILES.values()))


def content(folder):
    return {name: (folder / name).read_bytes() for name in ALL_FILES}


def test_same_seed_gives_the_same_bytes(tmp_path):
    """The same people, seed and noise write the same bytes, spreadsheet included."""
    write_world(tmp_path / "one", people=120, seed=3)
    write_world(tmp_path / "two", people=120, seed=3)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_seed_gives_another_world(tmp_path):
    """Another seed writes other files; only the declaration stays."""
    write_world(tmp_path / "one", people=120, seed=3)
    write_world(tmp_path / "two", people=120, seed=4)
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert {name for name in ALL_FILES if one[name] == two[name]} == {"cdp.yaml"}


def test_the_spreadsheet_does_not_tell_the_time(written):
    """Nothing in the workbook depends on when it was written."""
    with zipfile.ZipFile(written.folder / "data/legacy.xlsx") as workbook:
        assert {entry.date_time for entry in workbook.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        stamps = workbook.read("docProps/core.xml")
    assert stamps.count(b"1980-01-01T00:00:00Z") == 2


def test_there_are_about_two_and_a_half_records_a_person(written):
    """20,000 people have about 48,000 records, and everybody has at least one."""
    records = written.world.delivered
    assert 2.3 < len(records) / len(written.world.people) < 2.5
    assert {record.person.key for record in records} == {p.key for p in written.world.people}


def test_truth_names_every_record_once(written):
    """The truth lists each delivered record once, and no broken row."""
    rows = truth(written.folder)
    keys = [(row["source"], row["record_id"]) for row in rows]
    assert len(set(keys)) == len(keys) == len(written.world.delivered)
    assert set(keys) <= set(reading.evidence(written.folder))


def test_linkable_groups_refine_people(written):
    """A linkable group never holds records of two people."""
    people = collections.defaultdict(set)
    for row in truth(written.folder):
        people[row["linkable_id"]].add(row["person_id"])
    assert {len(found) for found in people.values()} == {1}


def test_evidence_is_in_the_files(written):
    """Whatever makes two records linkable can be read back from the written files."""
    found = reading.evidence(written.folder)
    missing = [
        (record.source, kind)
        for record in written.world.delivered
        for kind, value in record.evidence
        if reading.name(value) not in map(reading.name, found_kind(found, record, kind))
    ]
    assert missing == []


def found_kind(found, record, kind):
    return found[record.source, record.record_id].get(kind, set())


def test_linkable_groups_are_what_the_files_join(written):
    """Groups computed from the files alone, person by person, are those of the truth."""
    found = reading.evidence(written.folder)
    numbers, birthdays = own_values(written.world)
    joined = set()
    by_person = collections.defaultdict(list)
    groups = {}
    for row in truth(written.folder):
        by_person[row["person_id"]].append((row["source"], row["record_id"]))
        groups[row["source"], row["record_id"]] = row["linkable_id"]
    for person, records in by_person.items():
        values = {}
        for record in records:
            kinds = found[record]
            values[record] = {
                *(("phone", value) for value in kinds["phone"] & numbers[person]),
                *(("nb", value) for value in kinds.get("name_birth", set()) & birthdays[person]),
                *(
                    (kind, value)
                    for kind in ("unionid", "email", "national_id", "card")
                    for value in kinds.get(kind, ())
                    if value and valid(kind, value)
                ),
            }
        joined |= components(values)
    wanted = collections.defaultdict(set)
    for record, group in groups.items():
        wanted[group].add(record)
    assert joined == {frozenset(group) for group in wanted.values()}


def own_values(world):
    numbers, birthdays = {}, {}
    for person in world.people:
        numbers[person.key] = {person.phone, *(number for _, number in person.extra)}
        kept = str(person.born) not in {"1900-01-01", "1990-01-01"}
        birthdays[person.key] = {f"{reading.name(person.name.full)}|{person.born}"} if kept else {}
    return numbers, {key: set(value) for key, value in birthdays.items()}


def valid(kind, value):
    return kind != "national_id" or id_is_valid(value)


def id_is_valid(number):
    # ISO 7064 MOD 11-2, which GB 11643 uses: the weighted sum leaves 1.
    total = sum("0123456789X".index(c) * 2 ** (17 - at) for at, c in enumerate(number))
    return len(number) == 18 and total % 11 == 1


def components(values):
    parts = [({record}, set(found)) for record, found in values.items()]
    merged = True
    while merged:
        merged = False
        for one, other in combinations(parts, 2):
            if one[1] & other[1]:
                parts.remove(other)
                one[0].update(other[0])
                one[1].update(other[1])
                merged = True
                break
    return {frozenset(records) for records, _ in parts}


@pytest.mark.parametrize("event", sorted({**FACTS, **ERRORS}))
def test_every_phenomenon_happens_at_its_declared_rate(written, event):
    """Each declared rate is the rate that the world shows, within chance."""
    odds = written.world.odds
    assert odds.expected[event] > 0
    assert abs(odds.happened[event] - odds.expected[event]) < 4.5 * math.sqrt(odds.expected[event])


def test_placeholders_and_clerks_numbers_stand_in_the_files(written):
    """Placeholders and clerks' own numbers are carried by as many records as declared."""
    found = reading.evidence(written.folder)
    carriers = collections.Counter(number for kinds in found.values() for number in kinds["phone"])
    for number, size in written.world.clerks.items():
        assert carriers[number] == size >= 10
    assert carriers[PLACEHOLDERS[0]] > carriers[PLACEHOLDERS[1]] > 0


def test_households_and_recycled_numbers_make_people_share_a_phone(written):
    """Numbers that two people use are common: relatives, and numbers sold again."""
    owners = collections.defaultdict(set)
    surnames = collections.defaultdict(set)
    for person in written.world.people:
        owners[person.phone].add(person.key)
        surnames[person.phone].add(person.name.surname)
        for _, number in person.extra:
            owners[number].add(person.key)
    shared = [number for number, people in owners.items() if len(people) > 1]
    assert 0.03 < len(shared) / len(written.world.people) < 0.10
    assert any(len(owners[number]) > len(surnames[number]) == 1 for number in shared)
    assert written.world.odds.happened["phone.recycled.sold"] > 0


def test_national_ids_are_valid_and_tell_birth_and_gender(written):
    """Everybody's ID number passes GB 11643 and fits the birth date and the gender."""
    for person in written.world.people:
        number = person.national_id
        assert id_is_valid(number)
        assert number[6:14] == f"{person.born:%Y%m%d}"
        assert (int(number[16]) % 2 == 1) == (person.gender == "M")


def test_some_written_national_ids_are_invalid(written):
    """The spreadsheet holds ID numbers that Excel or a slip broke."""
    rows = reading.sheet_rows(written.folder / "data/legacy.xlsx")
    numbers = [row["身份证"].upper() for row in rows if row["身份证"]]
    broken = [number for number in numbers if not id_is_valid(number)]
    assert 0 < len(broken) < 0.15 * len(numbers)


def test_mail_addresses_can_never_exist(written):
    """Every mail address ends in a domain reserved for examples."""
    rows = reading.csv_rows(written.folder / "data/shop.csv", "utf-8")
    domains = {row["email"].lower().rpartition("@")[2] for row in rows if row["email"]}
    assert domains
    assert all(domain == "example.com" or domain.endswith(".invalid") for domain in domains)


def test_files_decode_but_for_their_broken_rows(written):
    """Each text file is in its declared encoding; only the broken rows are not."""
    for source, encoding in (("pos", "gb18030"), ("shop", "utf-8"), ("wecom", "utf-8")):
        lines = (written.folder / "data" / FILES[source]).read_bytes().splitlines()
        wrong = [line for line in lines if not decodes(line, encoding)]
        broken = [row for row in written.world.broken if row.source == source]
        assert len(wrong) == sum(row.rule == "undecodable bytes" for row in broken) == 1
    with pytest.raises(UnicodeDecodeError):
        (written.folder / "data/pos.csv").read_text(encoding="utf-8")


def decodes(line, encoding):
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def test_every_file_has_broken_rows(written):
    """Each source has rows to reject, and together they break every rule."""
    broken = written.world.broken
    assert {row.source for row in broken} == set(FILES)
    assert {row.rule for row in broken} == {
        "undecodable bytes", "wrong column count", "missing record id", "impossible date",
        "formula cell", "very long cell", "not JSON", "not an object",
    }  # fmt: skip
    text = b"".join((written.folder / "data" / name).read_bytes() for name in FILES.values())
    assert all(row.content in text for row in broken if isinstance(row.content, bytes))


def test_noise_scales_errors_alone():
    """Noise 0 writes no error and leaves how people live; noise 3 writes three times as many."""
    calm, wild = make_world(400, 5, noise=0), make_world(400, 5, noise=3)
    assert sum(calm.odds.happened[event] for event in ERRORS) == 0
    assert calm.odds.happened["household"] > 0
    assert wild.odds.expected["phone.slip"] / wild.odds.expected["phone.formatted"] < 0.07
    rate = wild.odds.expected["name.homophone"] / len(wild.delivered)
    usual = make_world(400, 5)
    assert rate > 2.5 * usual.odds.expected["name.homophone"] / len(usual.delivered)


@pytest.mark.parametrize(("people", "noise"), [(0, 1.0), (10, -1.0)])
def test_impossible_worlds_are_refused(people, noise):
    """A world without people or with negative noise is refused."""
    with pytest.raises(ValueError, match=r"needs at least|must not be negative"):
        make_world(people, noise=noise)


def test_a_world_of_one_person_works(tmp_path):
    """The smallest world is written like any other."""
    world = write_world(tmp_path, people=1)
    assert len(world.people) == 1
    assert len(truth(tmp_path)) == len(world.delivered) >= 1


def truth(folder):
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))

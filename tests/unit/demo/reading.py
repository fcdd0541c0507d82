"""Reads a demo world's files back, on its own, the way a careful reader would."""

import csv
import datetime as dt
import json
import re
import unicodedata
from itertools import zip_longest

import openpyxl


def phone(text):
    digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", str(text or "")))
    return digits.removeprefix("00").removeprefix("86") if len(digits) > 11 else digits


def birth(cell):
    if isinstance(cell, dt.date | dt.datetime):
        return f"{cell:%Y-%m-%d}"
    text = str(cell or "")
    if re.fullmatch(r"\d{5}", text):
        return str(dt.date(1899, 12, 30) + dt.timedelta(days=int(text)))
    if re.fullmatch(r"\d{8}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    parts = [int(part) for part in re.findall(r"\d+", text)]
    if len(parts) != 3:
        return ""
    year, month, day = parts
    if year < 100:
        year += 2000 if year <= 26 else 1900
    return f"{year:04}-{month:02}-{day:02}"


def name(text):
    return re.sub(r"(?<=[^ -~])\s+|\s+(?=[^ -~])", "", str(text or "").strip())


def csv_rows(path, encoding):
    lines = [
        line.decode(encoding, errors="replace")
        for line in path.read_bytes().splitlines()
        if len(line) < 100_000
    ]
    header, *rows = csv.reader(lines)
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]


def json_rows(path):
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def sheet_rows(path):
    workbook = openpyxl.load_workbook(path, read_only=True)
    header, *rows = workbook.worksheets[0].iter_rows(values_only=True)
    workbook.close()
    # A row ends with its last filled cell.
    return [dict(zip_longest(header, row)) for row in rows]


def evidence(folder):
    """Return, per (source, record id), the values of each kind as the files give them."""
    data, found = folder / "data", {}
    for row in csv_rows(data / "pos.csv", "gb18030"):
        found["pos", row["卡号"]] = {
            "phone": {phone(row["手机号"])},
            "name_birth": {f"{name(row['姓名'])}|{birth(row['生日'])}"},
            "card": {row["卡号"]},
        }
    for row in csv_rows(data / "shop.csv", "utf-8"):
        found["shop", row["buyer_id"]] = {
            "phone": {phone(row["phone"])},
            "email": {row["email"].lower()},
        }
    for row in json_rows(data / "miniprogram.jsonl"):
        found["miniprogram", row.get("openid")] = {
            "phone": {phone(row.get("phone_info", {}).get("purePhoneNumber"))},
            "unionid": {row.get("unionid")},
        }
    for row in json_rows(data / "wecom.jsonl"):
        found["wecom", row.get("external_userid")] = {
            "phone": {phone(number) for number in row.get("remark_mobiles", ())},
            "unionid": {row.get("unionid")},
        }
    for row in sheet_rows(data / "legacy.xlsx"):
        found["legacy", row["编号"]] = {
            "phone": {phone(row["手机"])},
            "name_birth": {f"{name(row['姓名'])}|{birth(row['生日'])}"},
            "national_id": {str(row["身份证"] or "").upper()},
            "card": {row["编号"]},
        }
    return found

"""What the heading of a column says about what is in it. Pure.

Words as exports of shops, tills and platforms use them, in Chinese of either script, Japanese,
German and English; what stands in the column decides.
"""

import re
from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "name": "姓名 名字 客户名称 收货人 收件人 联系人 name fullname truename realname consignee "
    "氏名 お名前",
    "given_name": "firstname givenname forename vorname rufname 名",
    "surname": "姓氏 lastname surname familyname nachname familienname 姓 苗字",
    "nickname": "昵称 网名 nickname nick showname screenname 暱稱 ニックネーム",
    "remark": "备注名 remark",
    "note": "备注 说明 留言 note memo comment 備註 備考 bemerkung notiz",
    "phone": "手机 手机号 手机号码 电话 电话号码 联系电话 联系方式 mobile mobiles phone phoneno "
    "phonenumber mobileno mobilenumber mobilephone tel telephone cellphone "
    "手機 電話 携帯 cell telefon telefonnummer handy handynummer mobil mobilnummer",
    "email": "邮箱 电子邮箱 电子邮件 邮件地址 email mail emailaddress "
    "郵箱 電子郵件 電子信箱 メール mailadresse",
    "national_id": "身份证 身份证号 身份证号码 证件号 证件号码 idcard idcardno idnumber nationalid "
    "身分證",
    "bank_card": "银行卡 银行卡号 bankcard bankcardno",
    "birth_date": "生日 出生日期 出生年月 出生年月日 birthday birthdate birth dateofbirth dob "
    "生年月日 誕生日 geburtsdatum geburtstag",
    "gender": "性别 gender sex 性別 geschlecht",
    "address": "地址 住址 详细地址 收货地址 address address1 addr fulladdress detailaddress "
    "住所 strasse anschrift street streetaddress",
    "city": "城市 所在市 city 市区町村 ort wohnort town",
    "district": "区县 所在区 district county",
    "region": "省 省份 province receiverstate region 都道府県 bundesland",
    "postcode": "邮编 邮政编码 zip zipcode postcode postalcode 郵便番号 郵遞區號 plz postleitzahl",
    "loyalty_card": "卡号 会员卡号 会员号 会员编号 卡號 會員號 會員編號 会員番号 "
    "kundenkarte cardno cardnumber memberno membernumber membershipno membershipnumber "
    "membershipinfocode",
    "buyer_id": "买家id 客户id 用户id 顧客番号 kundennr kundennummer "
    "buyerid customerid wid yzopenid openidbuyer",
    "openid": "openid",
    "unionid": "unionid",
    "external_userid": "externaluserid",
    "ouid": "ouid",
    "omid": "omid",
    "oaid": "oaid",
}
# Identifiers that only their exact heading names: another openid is of another app.
_EXACT: Final = frozenset({"openid", "ouid", "omid", "oaid", "external_userid"})
# Never a person's key, whatever stands there: earlier numbers, secrets, names the platform masks.
_AVOIDED: Final = frozenset(
    {
        *("oldmobile", "oldphone", "oldtel", "旧手机", "原手机", "旧手机号", "原手机号"),
        *("sessionkey", "buyernick", "password", "pwd", "密码", "passwort", "パスワード"),
    }
)
_ID_WORDS: Final = (
    "id 编号 卡号 会员号 单号 订单号 no code tid openid userid orderid wid "
    "編號 會員號 会員番号 顧客番号 注文番号 kundennr kundennummer bestellnummer"
)
_MOBILE: Final = "手机 手機 携帯 移动电话 行動電話 mobil handy cell"
_NOISE: Final = re.compile(r"[\W_]+")


def compact(heading: str) -> str:
    """A heading without case, spaces and signs."""
    return _NOISE.sub("", heading).casefold()


def _last(heading: str) -> str:
    return compact(heading.rpartition(".")[2])


def named(heading: str) -> tuple[str, int] | None:
    """The field that a heading names, and how many characters of it say so; None: it says none.

    Of a path in JSON the last key counts, or the whole where that says more.
    """
    best: tuple[str, int] | None = None
    for field, words in _WORDS.items():
        for word in words.split():
            fits = _fits(field, word, _last(heading)) or word == compact(heading)
            if fits and (best is None or len(word) > best[1]):
                best = (field, len(word))
    return best


def names_exactly(heading: str) -> bool:
    """Whether a heading is nothing but the name of a field: `phone`, and not `address phone`."""
    found = named(heading)
    return found is not None and found[1] in {len(_last(heading)), len(compact(heading))}


def names_a_mobile(heading: str) -> bool:
    """Whether a heading says that its phones are mobiles, which are one person's."""
    return any(word in compact(heading) for word in _MOBILE.split())


def _fits(field: str, word: str, last: str) -> bool:
    if not word.isascii():
        return last == word if len(word) == 1 else word in last
    if field in _EXACT:
        return last == word
    # `name` ends `username`, but `id` does not end `paid`: short words stand alone
    return last.endswith(word) if len(word) > 3 else last == word


def avoided(heading: str) -> bool:
    """Whether a column of this heading must not be taken for a key."""
    return _last(heading) in _AVOIDED


def names_a_record(heading: str) -> int:
    """How much a heading speaks for naming the record: 2 clearly, 1 somewhat, 0 not."""
    last = _last(heading)
    if last in _ID_WORDS.split():
        return 2
    return int(last.endswith(("id", "no", "nr", "code", "编号", "号", "號")))

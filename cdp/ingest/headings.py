"""What the heading of a column says about what is in it. Pure.

Words as exports of shops, tills and platforms use them; what stands in the column decides.
"""

import re
from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "name": "姓名 名字 客户名称 收货人 收件人 联系人 name fullname truename realname consignee",
    "given_name": "firstname givenname",
    "surname": "姓氏 lastname surname familyname",
    "nickname": "昵称 网名 nickname nick showname screenname",
    "remark": "备注名 remark",
    "note": "备注 说明 留言 note memo comment",
    "phone": "手机 手机号 手机号码 电话 电话号码 联系电话 联系方式 mobile mobiles phone phoneno "
    "phonenumber mobileno mobilenumber mobilephone tel telephone cellphone",
    "email": "邮箱 电子邮箱 电子邮件 邮件地址 email mail emailaddress",
    "national_id": "身份证 身份证号 身份证号码 证件号 证件号码 idcard idcardno idnumber nationalid",
    "bank_card": "银行卡 银行卡号 bankcard bankcardno",
    "birth_date": "生日 出生日期 出生年月 出生年月日 birthday birthdate birth dateofbirth dob",
    "gender": "性别 gender sex",
    "address": "地址 住址 详细地址 收货地址 address address1 addr fulladdress detailaddress",
    "city": "城市 所在市 city",
    "district": "区县 所在区 district county",
    "region": "省 省份 province receiverstate region",
    "postcode": "邮编 邮政编码 zip zipcode postcode postalcode",
    "loyalty_card": "卡号 会员卡号 会员号 会员编号 cardno cardnumber memberno membernumber "
    "membershipno membershipnumber membershipinfocode",
    "buyer_id": "买家id 客户id 用户id buyerid customerid wid yzopenid openidbuyer",
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
        *("sessionkey", "buyernick", "password", "pwd", "密码"),
    }
)
_ID_WORDS: Final = "id 编号 卡号 会员号 单号 订单号 no code tid openid userid orderid wid"
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


def _fits(field: str, word: str, last: str) -> bool:
    if not word.isascii():
        return word in last
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
    return int(last.endswith(("id", "no", "code", "编号", "号")))

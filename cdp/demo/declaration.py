"""The workspace file `cdp.yaml` of the made-up retailer, as a dict."""

from typing import Any

from cdp.demo.places import BRAND, STORES, organisation

HOOK = "http://127.0.0.1:9000/hook"


def declaration(hook: str = HOOK) -> dict[str, Any]:
    """Return the declaration of the demo world; `hook` is the webhook's address."""
    return {
        "version": 1,
        "organisation": organisation(),
        "sources": {
            "pos": _pos(),
            "miniprogram": _miniprogram(),
            "shop": _shop(),
            "wecom": _wecom(),
            "legacy": _legacy(),
        },
        "destinations": destinations(hook),
        "principals": principals(BRAND, STORES[0].code, STORES[4].code),
    }


def destinations(hook: str) -> dict[str, Any]:
    """Return the webhook for the CRM and the weekly file for analysts."""
    return {
        "crm": {
            "connector": "webhook",
            "location": hook,
            "purpose": "marketing",
            "fields": ["profile_id", "name", "phone", "tags"],
            "secret": "crm",
        },
        "weekly": {
            "connector": "csv_file",
            "location": "exports/weekly.csv",
            "purpose": "analysis",
            "fields": ["profile_id", "city", "tags"],
        },
    }


def principals(brand: str, store: str, other_store: str) -> list[dict[str, str]]:
    """Return the people and systems of the demo: two clerks, three offices, a service."""
    return [
        {"id": f"clerk.{store.lower()}", "role": "clerk", "node": store},
        {"id": f"clerk.{other_store.lower()}", "role": "clerk", "node": other_store},
        {"id": f"manager.{store.lower()}", "role": "manager", "node": store},
        {"id": "headquarters", "role": "headquarters", "node": brand},
        {"id": "compliance", "role": "compliance", "node": brand},
        # The CRM serves one store, so it learns of that store's members and of no others.
        {"id": "crm", "role": "service", "node": store, "destination": "crm"},
    ]


def _account(orders: str, total: str, last: str) -> dict[str, Any]:
    return {
        "orders": {"column": orders, "type": "integer"},
        "total_spent": {"column": total, "type": "decimal"},
        "last_purchase": {"column": last, "type": "date"},
    }


def _pos() -> dict[str, Any]:
    return {
        "connector": "csv",
        "location": "data/pos.csv",
        "encoding": "gb18030",
        "record_id": "卡号",
        "store": "门店",
        "fields": {
            "loyalty_card": {"column": "卡号", "scope": BRAND},
            "name": "姓名",
            "phone": "手机号",
            "birth_date": {"column": "生日", "formats": ["%Y-%m-%d", "%Y/%m/%d"]},
            "gender": "性别",
        },
        "attributes": {
            **_account("消费次数", "累计消费", "最近消费"),
            "opened_on": {"column": "开卡日期", "type": "date"},
        },
        "consent": {
            "basis": "membership",
            "purposes": ["service", "marketing", "analysis"],
            "opt_out": {"column": "拒绝营销", "values": ["是"], "purposes": ["marketing"]},
        },
    }


def _miniprogram() -> dict[str, Any]:
    return {
        "connector": "jsonl",
        "location": "data/miniprogram.jsonl",
        "encoding": "utf-8",
        "record_id": "openid",
        "fields": {
            "openid": {"column": "openid", "scope": "wxkith01"},
            "unionid": {"column": "unionid", "scope": BRAND},
            "nickname": "nickname",
            "phone": "phone_info.purePhoneNumber",
            "city": "city",
        },
        "attributes": {
            "opened_on": {"column": "created_at", "type": "date"},
            "last_active": {"column": "last_active", "type": "date"},
        },
        "consent": {"basis": "consent", "purposes": ["service", "marketing", "analysis"]},
    }


def _shop() -> dict[str, Any]:
    return {
        "connector": "csv",
        "location": "data/shop.csv",
        "encoding": "utf-8",
        "record_id": "buyer_id",
        "fields": {
            "buyer_id": {"column": "buyer_id", "scope": "kith-shop"},
            "name": "receiver_name",
            "phone": "phone",
            "email": "email",
            "region": "province",
            "city": "city",
            "district": "district",
            "address": "address",
        },
        "attributes": _account("orders", "total_paid", "last_order_at"),
        "consent": {"basis": "contract", "purposes": ["service", "analysis"]},
    }


def _wecom() -> dict[str, Any]:
    return {
        "connector": "jsonl",
        "location": "data/wecom.jsonl",
        "encoding": "utf-8",
        "record_id": "external_userid",
        "store": "follow_user.store",
        "fields": {
            "external_userid": {"column": "external_userid", "scope": "wwkith"},
            "unionid": {"column": "unionid", "scope": BRAND},
            "remark": "remark",
            "phone": "remark_mobiles",
        },
        "attributes": {"added_on": {"column": "added_at", "type": "date"}},
        "consent": {"basis": "consent", "purposes": ["service", "marketing"]},
    }


def _legacy() -> dict[str, Any]:
    return {
        "connector": "xlsx",
        "location": "data/legacy.xlsx",
        "record_id": "编号",
        "fields": {
            "loyalty_card": {"column": "编号", "scope": BRAND},
            "name": "姓名",
            "phone": "手机",
            "birth_date": {
                "column": "生日",
                # "excel": a date cell that became text is a number of days
                "formats": [
                    "%Y-%m-%d",
                    "%Y年%m月%d日",
                    "%y.%m.%d",
                    "%Y%m%d",
                    "%Y/%m/%d",
                    "excel",
                ],
            },
            "national_id": "身份证",
            "note": "备注",
        },
        # The paper forms asked for service alone: nothing here may be used for marketing.
        "consent": {"basis": "membership", "purposes": ["service", "analysis"]},
    }

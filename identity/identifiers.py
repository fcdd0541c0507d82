"""What an identifier is worth on its own: how often one value stands for two people.

The share cannot be learnt from unlabelled pairs: where two records have nothing in common
but an identifier, the data does not say who is right. It comes from who issues it.

* An *issued* identifier (a unionid, an ID number) is one person's by the issuer's rules;
  what is left is typing and account sharing. The shares below are judgements, stated
  here so that they can be argued with, and they are part of the epoch.
* A *phone* is shared by families, typed in by clerks and handed on by operators. Its share
  is measured in the data itself, see ``identity.sharing.wrong_shares``.

Scopes: an openid is one app's, a unionid one Open Platform account's, an external_userid
one WeCom corporation's, a buyer id one shop's. The scope is keyed together with the value,
so that equal texts of two scopes never meet. A Taobao OAID changes every week and is
never an identity key; a phone with an extension is a privacy number and nobody's.
"""

from collections.abc import Mapping

# Comparison -> share of value-sharing pairs that are two people, for its best level.
WRONG_SHARE: Mapping[str, float] = {
    "unionid": 0.005,  # one WeChat account handed to a relative
    "e-mail": 0.01,  # one mailbox for a household
    "ID number": 0.001,  # GB 11643 has a check digit; what is left is the wrong person's card
    "tax number": 0.001,
    "account": 0.002,  # a loyalty card lent
}

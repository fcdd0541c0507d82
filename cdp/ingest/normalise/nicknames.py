"""English given names that people are called by, beside the one in their papers.

Gathered by hand from names in general use. A short form of several names stands with each:
Alex is Alexander or Alexandra. Forms that are spelling variants only (Ann, Anne) are left
to the one-deletion neighbours, and forms that are common names of somebody else (Jack and
James) are left out unless everybody reads them as one.
"""

from functools import cache

_FORMS = {
    "abigail": "abby gail",
    "albert": "al bert bertie",
    "alexander": "alex alec sandy sasha xander",
    "alexandra": "alex sandra sandy sasha lexi",
    "alfred": "alf alfie fred",
    "amanda": "mandy",
    "andrew": "andy drew",
    "anthony": "tony",
    "archibald": "archie",
    "arthur": "art artie",
    "barbara": "barb babs",
    "benjamin": "ben benny benjy",
    "catherine": "cathy cath kate katie kitty kathy",
    "charles": "charlie chuck chas",
    "charlotte": "lottie charlie",
    "christina": "chris tina chrissie",
    "christopher": "chris kit topher",
    "daniel": "dan danny",
    "david": "dave davy",
    "deborah": "deb debbie",
    "dorothy": "dot dottie dolly",
    "edward": "ed eddie ned ted teddy",
    "eleanor": "nell nellie ellie",
    "elizabeth": "liz lizzie beth betty bess bessie betsy eliza libby",
    "emily": "em emmy",
    "eugene": "gene",
    "florence": "flo florrie",
    "frances": "fanny fran frankie",
    "francis": "frank fran",
    "frederick": "fred freddie freddy",
    "gerald": "gerry jerry",
    "gregory": "greg",
    "harold": "hal harry",
    "helen": "nell nellie",
    "henry": "harry hal hank",
    "isabella": "bella izzy",
    "jacob": "jake",
    "james": "jim jimmy jamie",
    "janet": "jan",
    "jennifer": "jen jenny jenn",
    "jessica": "jess jessie",
    "john": "jack johnny",
    "jonathan": "jon",
    "joseph": "joe joey",
    "joshua": "josh",
    "judith": "judy",
    "katherine": "kate katie kathy kath kitty",
    "kenneth": "ken kenny",
    "lawrence": "larry laurie",
    "leonard": "len lenny leo",
    "louisa": "lou",
    "margaret": "maggie meg peggy madge daisy greta maisie",
    "martha": "patty mattie",
    "mary": "molly polly may mamie",
    "matthew": "matt matty",
    "michael": "mike mick mickey",
    "nathaniel": "nat nate",
    "nicholas": "nick nicky",
    "pamela": "pam",
    "patricia": "pat patty trish tricia",
    "patrick": "pat paddy",
    "peter": "pete",
    "philip": "phil pip",
    "rebecca": "becky becca",
    "richard": "dick rick ricky rich richie",
    "robert": "bob bobby rob robbie bert",
    "ronald": "ron ronnie",
    "rosemary": "rose rosie",
    "samuel": "sam sammy",
    "samantha": "sam sammy",
    "sarah": "sally sadie",
    "stephen": "steve stevie",
    "steven": "steve stevie",
    "susan": "sue susie suzie",
    "theodore": "ted teddy theo",
    "theresa": "terry tess tessa",
    "thomas": "tom tommy",
    "timothy": "tim timmy",
    "victoria": "vicky tori",
    "vincent": "vince vinny",
    "walter": "walt wally",
    "william": "bill billy will willie willy",
    "winifred": "win winnie freda",
}


@cache
def _whole() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for given, forms in _FORMS.items():
        for form in forms.split():
            found.setdefault(form, []).append(given)
    return {form: tuple(names) for form, names in found.items()}


def formal_names(given: str) -> tuple[str, ...]:
    """The given names that a folded given name may be short for; most often none.

    The first word decides, what follows it stays: `bill henry` may be `william henry`.
    """
    first, space, rest = given.partition(" ")
    found = _whole().get(first, ())
    return tuple(name + space + rest for name in found) if rest else found

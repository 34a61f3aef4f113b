"""Invents people, places, organisations and numbers as English texts have them, from names of many countries."""

from __future__ import annotations

import importlib
import random
import string
from collections.abc import Callable
from itertools import chain

import pandas as pd
from corpora import DATA, tagged
from marked import own, words

_WORDS = words("words_en.txt")
_IDENTITY = ["GivenName", "Surname", "City", "State", "StateFull", "ZipCode", "CountryFull", "StreetAddress", "Company",
             "EmailAddress", "TelephoneNumber"]  # fmt: skip


class EnglishInventor:
    """Values for the gaps of English templates. `held_out` draws from the names and identities that training never saw."""

    def __init__(self, seed: int, *, held_out: bool) -> None:
        from faker import Faker

        self.rng = random.Random(seed)
        self._fakers = []
        for number, locale in enumerate(_WORDS["ADDRESS_LOCALES"]):
            faker = Faker(locale)
            faker.seed_instance(seed + number)
            self._fakers.append(faker)
        self._inventories = [
            tuple(own(names, held_out=held_out) for names in pair) for pair in chain(_faker_names(), _further_names())
        ]
        self._inventories = [pair for pair in self._inventories if min(map(len, pair)) > 2]
        self._common = self._inventories[:9]
        identities = pd.read_parquet(DATA / "presidio_synth" / "fake_identities.parquet")[_IDENTITY].fillna("")
        rows = identities.to_dict("records")
        self._identities = [one for place, one in enumerate(rows) if (place % 5 == 4) == held_out]
        marked = [one for name in ("wikigold", "wnut17_train_dev") for one in tagged(name)]
        self._places = (
            own(_values(marked, "LOCATION"), held_out=held_out)
            + own(_WORDS["CITIES"] + _WORDS["UK_TOWNS"], held_out=held_out) * 3
        )
        self._orgs = own(_values(marked, "ORG"), held_out=held_out)
        self._companies = own(_WORDS["COMPANIES"], held_out=held_out)
        self._kinds: dict[str, Callable[[], str]] = {
            name.removeprefix("_make_"): getattr(self, name) for name in dir(self) if name.startswith("_make_")
        }

    def __call__(self, kind: str) -> str:
        """A value for the gap of that name. Raises KeyError for a name that is no gap."""
        return " ".join(self._kinds[kind]().split(" ")).strip()

    def _pick(self, *choices: Callable[[], str]) -> str:
        return self.rng.choice(choices)()

    def _faker(self):
        return self.rng.choice(self._fakers)

    def _identity(self, column: str) -> str:
        while not (value := str(self.rng.choice(self._identities)[column])):
            pass
        return value

    # People

    def _names(self) -> tuple[str, str]:
        rng, chance = self.rng, self.rng.random()
        if chance < 0.22:
            one = rng.choice(self._identities)
            return one["GivenName"], one["Surname"]
        if chance < 0.32:
            given = "".join(rng.choices(_WORDS["CHINESE_GIVEN"], k=rng.choice((1, 2, 2)))).title()
            return given, rng.choice(_WORDS["PINYIN_SURNAMES"])
        pair = rng.choice(self._common if chance < 0.62 else self._inventories)
        return rng.choice(pair[0]), rng.choice(pair[1])

    def _make_first(self) -> str:
        return self._names()[0]

    def _make_last(self) -> str:
        return self._names()[1]

    def _make_person(self) -> str:
        rng, (first, last), chance = self.rng, self._names(), self.rng.random()
        if chance < 0.74:
            return f"{first} {last}"
        if chance < 0.80:
            return f"{first} {rng.choice(string.ascii_uppercase)}. {last}"
        if chance < 0.85:
            return f"{first} {self._names()[0]} {last}"
        if chance < 0.89:
            return f"{first} {last}-{self._names()[1]}"
        if chance < 0.92:
            return f"{first[0]}. {last}"
        if chance < 0.94:
            return f"{first[0]}.{rng.choice(string.ascii_uppercase)}. {last}"
        if chance < 0.96:
            return f"{first} {rng.choice(('van', 'de', 'von', 'al', 'bin', 'da', 'van der', 'de la', 'O', 'Mac', 'el'))} {last}"
        if chance < 0.98:
            return f"{first} {rng.choice(_WORDS['NAME_PREFIXES'])}{last}"
        return f"{first} {last} {rng.choice(('Jr.', 'II', 'III', 'Sr.'))}"

    # Places

    def _make_city(self) -> str:
        return self._pick(
            lambda: self._identity("City"), self._fakers[0].city, lambda: self._faker().city(),
            *(lambda: self.rng.choice(self._places),) * 2,
        )  # fmt: skip

    def _make_place(self) -> str:
        return self._pick(self._make_city, lambda: self.rng.choice(self._places), self._make_country, self._make_state)

    def _make_state(self) -> str:
        return self._pick(self._fakers[0].state, self._fakers[0].state_abbr, lambda: self._identity("StateFull"))

    def _make_country(self) -> str:
        return self._pick(self._fakers[0].country, self._fakers[3].country, lambda: self._identity("CountryFull"))

    def _make_street(self) -> str:
        def pinyin() -> str:
            number, road = self.rng.randrange(1, 900), self.rng.choice(_WORDS["CHINESE_ROADS"])
            return f"No. {number} {road} {self.rng.choice(('Road', 'Street', 'Avenue'))}"

        value = self._pick(
            lambda: self._identity("StreetAddress"), self._fakers[0].street_address, self._fakers[0].street_address,
            self._fakers[3].street_address, lambda: self._faker().street_address(),
            self._plain_street, self._plain_street, pinyin,
        )  # fmt: skip
        return value.replace("\n", ", ")

    def _plain_street(self) -> str:
        """A British or American street as people write it: "14B Mill Lane", "Flat 2, 9 Elm St"."""
        rng = self.rng
        number = f"{rng.randrange(1, 400 if rng.random() < 0.7 else 19999)}{rng.choice(('', '', '', '', 'a', 'B', 'C'))}"
        flat = rng.choice(
            ("",) * 6 + ("Flat {}, ", "Apt {}, ", "Unit {}, ", "Suite {}, ", "Apartment {}, ", "Room {}, ")
        ).format(rng.randrange(1, 60))
        behind = rng.choice(
            ("",) * 8 + (" Apt {}", ", Apt {}", " #{}", ", Unit {}", ", Suite {}", ", 2nd Floor", " Apt. {}B")
        ).format(rng.randrange(1, 60))
        return f"{flat}{number} {self._make_road()}{behind if not flat else ''}"

    def _make_road(self) -> str:
        rng = self.rng
        if rng.random() < 0.2:
            return str(self._faker().street_name())
        names, prefixes = _WORDS["STREET_NAMES"], _WORDS["STREET_PREFIXES"]
        name = rng.choice((
            self._names()[1], rng.choice(names), rng.choice(names), rng.choice(_WORDS["ORDINALS"]),
            rng.choice(self._places), f"{rng.choice(prefixes)} {rng.choice(names)}",
        ))  # fmt: skip
        return f"{name} {rng.choice(_WORDS['STREET_SUFFIXES'])}"

    def _postcode(self) -> str:
        rng, number = self.rng, self.rng.randrange

        def letter() -> str:
            return rng.choice(string.ascii_uppercase)

        return rng.choice((
            f"{number(10000, 99999)}", f"{number(10000, 99999)}-{number(1000, 9999)}", f"{number(1000, 9999)}",
            f"{letter()}{letter()}{number(1, 20)} {number(1, 9)}{letter()}{letter()}",
            f"{letter()}{number(1, 20)} {number(1, 9)}{letter()}{letter()}",
        ))  # fmt: skip

    def _american(self, glue: str) -> str:
        english = self._fakers[0]
        town = self._pick(english.city, lambda: self.rng.choice(self._places), lambda: self._identity("City"))
        street, state = self._plain_street(), self._pick(english.state_abbr, english.state_abbr, english.state)
        return f"{street}{glue}{town}, {state} {english.zipcode()}"

    def _british(self, glue: str) -> str:
        rng = self.rng
        county = rng.choice(("", "", f"{glue}{rng.choice(_WORDS['COUNTIES'])}"))
        country = rng.choice(("", "", "", f"{glue}United Kingdom", f"{glue}UK", f"{glue}England"))
        house = rng.choice(
            ("", "", "", f"{rng.choice(_WORDS['STREET_NAMES'])} {rng.choice(('House', 'Court', 'Cottage', 'Lodge'))}{glue}")
        )
        town = rng.choice((rng.choice(self._places), self._fakers[3].city()))
        return (
            f"{house}{self._plain_street()}{glue}{town}{county}{rng.choice((glue, ' '))}{self._fakers[3].postcode()}{country}"
        )

    def _of_identity(self, glue: str) -> str:
        one = self.rng.choice(self._identities)
        flat = f"{self.rng.choice((' Apt. ', ' Suite ', ' apt. '))}{self.rng.randrange(1, 999)}"
        return self.rng.choice((
            f"{one['StreetAddress']}{glue}{one['City']}{glue}{one['CountryFull']} {one['ZipCode']}",
            f"{one['StreetAddress']}{glue}{one['City']}, {one['State'] or one['CountryFull']} {one['ZipCode']}",
            f"{one['StreetAddress']}{glue}{one['ZipCode']} {one['City']}",
            f"{one['StreetAddress']}{glue}{one['ZipCode']} {one['City']}{glue}{one['CountryFull']}",
            f"{one['StreetAddress']}{flat}{glue}{one['City']}{glue}{one['CountryFull']} {one['ZipCode']}",
            f"{one['StreetAddress']}{glue}{one['City']}",
        ))  # fmt: skip

    def _chinese(self, glue: str) -> str:
        rng = self.rng
        room = rng.choice(
            (
                "",
                f"Room {rng.randrange(101, 3000)}{glue}",
                f"Unit {rng.randrange(1, 20)}, Building {rng.randrange(1, 30)}{glue}",
            )
        )
        number, name = f"{rng.choice(('No. ', 'No.', ''))}{rng.randrange(1, 2000)}", rng.choice(_WORDS["CHINESE_ROADS"])
        road = f"{number} {name} {rng.choice(('Road', 'Street', 'Avenue', 'Rd', 'Lu'))}"
        district = "".join(rng.choices(_WORDS["CHINESE_GIVEN"], k=2)).title()
        town, end = rng.choice(_WORDS["CHINESE_TOWNS"]), rng.choice(("", f" {rng.randrange(100000, 700000)}", f"{glue}China"))
        return f"{room}{road}{glue}{district} District{glue}{town}{end}"

    def _make_address(self) -> str:
        glue = self.rng.choice((", ", ", ", ", ", "\n", " "))
        return self._of_any_country(glue)

    def _make_lines(self) -> str:
        return self._of_any_country(self.rng.choice(("\n", "\n", "\n  ", ",\n")))

    def _of_any_country(self, glue: str) -> str:
        return self._pick(
            *(lambda: self._american(glue),) * 2, *(lambda: self._british(glue),) * 2,
            *(lambda: self._of_identity(glue),) * 2, lambda: self._chinese(glue),
            lambda: self._fakers[0].address().replace("\n", glue), lambda: self._faker().address().replace("\n", glue),
            lambda: self._faker().address().replace("\n", glue), lambda: self._box(glue),
        )  # fmt: skip

    def _box(self, glue: str) -> str:
        box = f"{self.rng.choice(('P.O. Box', 'PO Box', 'P.O. box', 'Box'))} {self.rng.randrange(10, 9999)}"
        return f"{box}{glue}{self._make_city()}{self.rng.choice((', ', ' '))}{self._postcode()}"

    def _make_short_address(self) -> str:
        return self._pick(
            self._make_street, lambda: f"{self._make_street()}, {self._make_city()}",
            lambda: f"{self._plain_street()}, {self._make_city()}", self._make_address,
        )  # fmt: skip

    # Organisations

    def _make_company(self) -> str:
        def composed() -> str:
            rng, last, town = self.rng, self._names()[1], self._make_city()
            form, other, industry, tree = (
                rng.choice(_WORDS["ORG_FORMS"]),
                self._names()[1],
                rng.choice(_WORDS["INDUSTRIES"]),
                rng.choice(_WORDS["STREET_NAMES"]),
            )
            letters = "".join(rng.choices(string.ascii_uppercase, k=3))
            return form.format(last=last, other=other, town=town, industry=industry, tree=tree, letters=letters)

        return self._pick(
            self._fakers[0].company, lambda: self._identity("Company"), lambda: self._faker().company(),
            composed, composed, composed,
            *(lambda: self.rng.choice(self._companies),) * 2, lambda: self.rng.choice(self._orgs),
        )  # fmt: skip

    # What is no name

    def _make_title(self) -> str:
        return self.rng.choice(_WORDS["TITLES"])

    def _make_job(self) -> str:
        job = str(self._fakers[0].job())
        return self.rng.choice(
            (job, job.lower(), "CEO", "CTO", "accountant", "Senior Engineer", "Head of Sales", "nurse", "Project Manager")
        )

    def _make_email(self) -> str:
        return self._pick(lambda: self._identity("EmailAddress"), self._fakers[0].email, self._fakers[0].company_email)

    def _make_phone(self) -> str:
        return self._pick(self._fakers[0].phone_number, self._fakers[3].phone_number, lambda: self._identity("TelephoneNumber"))

    def _make_card(self) -> str:
        number = self._fakers[0].credit_card_number()
        return number if self.rng.random() < 0.5 else " ".join(number[at : at + 4] for at in range(0, len(number), 4))

    def _make_iban(self) -> str:
        return str(self._fakers[3].iban())

    def _make_ssn(self) -> str:
        return str(self._fakers[0].ssn())

    def _make_expiry(self) -> str:
        return str(self._fakers[0].credit_card_expire())

    def _make_cvv(self) -> str:
        return str(self.rng.randrange(100, 9999))

    def _make_ip(self) -> str:
        return str(self._fakers[0].ipv4())

    def _make_url(self) -> str:
        return self.rng.choice((str(self._fakers[0].url()), str(self._fakers[0].domain_name())))

    def _make_date(self) -> str:
        return str(
            self._fakers[0].date(
                self.rng.choice(("%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%m/%d/%Y", "%B %d", "%d.%m.%Y", "%d %b %Y"))
            )
        )

    def _make_month(self) -> str:
        return str(self._fakers[0].month_name())

    def _make_time(self) -> str:
        return str(self._fakers[0].time(self.rng.choice(("%H:%M", "%I:%M %p", "%I %p", "%I%p"))))

    def _make_day(self) -> str:
        return self.rng.choice(
            (self._fakers[0].day_of_week(), self._fakers[0].day_of_week(), "tomorrow", "today", "the 3rd", "next week")
        )

    def _make_amount(self) -> str:
        return self.rng.choice(("$", "€", "£", "USD ")) + f"{self.rng.randrange(5, 9000)}" + self.rng.choice(("", ".50", ".99"))

    def _make_number(self) -> str:
        return str(self.rng.randrange(2, 60))

    def _make_version(self) -> str:
        return ".".join(str(self.rng.randrange(30)) for _ in range(self.rng.choice((2, 3))))

    def _make_order(self) -> str:
        return self.rng.choice(("", "#", "ORD-", "A-")) + str(self.rng.randrange(10**4, 10**8))

    def _make_code(self) -> str:
        letters = "".join(self.rng.choices(string.ascii_uppercase, k=self.rng.randrange(1, 4)))
        return letters + self.rng.choice(("", "-")) + str(self.rng.randrange(10**6))

    def _make_product(self) -> str:
        return self.rng.choice(_WORDS["PRODUCTS"])

    def _make_brand(self) -> str:
        return self.rng.choice(_WORDS["BRANDS"])


def _faker_names() -> list[tuple[list[str], list[str]]]:
    found = []
    for locale in _WORDS["NAME_LOCALES"]:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        first = [
            name for part in ("first_names", "first_names_male", "first_names_female") for name in getattr(provider, part, ())
        ]
        found.append((first, list(getattr(provider, "last_names", ()))))
    japanese = importlib.import_module("faker.providers.person.ja_JP").Provider
    found.append((list(japanese.first_romanized_names), list(japanese.last_romanized_names)))
    return found


def _further_names() -> list[tuple[list[str], list[str]]]:
    korean = [
        f"{one.title()}{glue}{two}"
        for one in _WORDS["KOREAN_GIVEN"]
        for two in _WORDS["KOREAN_GIVEN"]
        for glue in ("-", "", " ")
    ]
    return [
        (korean, _WORDS["KOREAN_LAST"]),
        (_WORDS["ARABIC_FIRST"], _WORDS["ARABIC_LAST"]),
        (_WORDS["VIETNAMESE_FIRST"], _WORDS["VIETNAMESE_LAST"]),
        (_WORDS["OTHER_FIRST"], _WORDS["OTHER_LAST"]),
    ]


def _values(marked: list, label: str) -> list[str]:
    return sorted(
        {
            one.text[start:end]
            for one in marked
            for start, end, kind in one.entities
            if kind == label and one.text[start].isupper()
        }
    )

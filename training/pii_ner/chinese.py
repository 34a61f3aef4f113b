"""Invents people, places, organisations and numbers as Chinese texts have them."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from marked import own, words

_WORDS = words("words_zh.txt")
_SURNAMES, _GIVEN = "".join(_WORDS["SURNAMES"]), "".join(_WORDS["GIVEN_COMMON"]) * 3 + "".join(_WORDS["GIVEN"])
_VILLAGE_CHARS, _COMPANY_CHARS = "".join(_WORDS["VILLAGE_CHARS"]), "".join(_WORDS["COMPANY_CHARS"])
_PROVINCE_CITIES = {province: cities.split() for province, cities in (line.split(": ") for line in _WORDS["PROVINCE_CITIES"])}
_NUMERALS = "一二三四五六七八九十"


class ChineseInventor:
    """Values for the gaps of Chinese templates. `held_out` draws from the characters and names that training never saw."""

    def __init__(self, seed: int, *, held_out: bool) -> None:
        from faker import Faker

        self.rng = random.Random(seed)
        self._faker = Faker("zh_CN")
        self._faker.seed_instance(seed)
        self._held_out = held_out
        self._foreign, self._english = (
            own(_WORDS["FOREIGN_NAMES"], held_out=held_out),
            own(_WORDS["ENGLISH_FIRST"], held_out=held_out),
        )
        self._companies, self._places = (
            own(_WORDS["COMPANIES"], held_out=held_out),
            own(_WORDS["FOREIGN_PLACES"] + _WORDS["COUNTRIES"], held_out=held_out),
        )
        self._roads, self._estates = (
            own(_WORDS["ROAD_NAMES"], held_out=held_out),
            own(_WORDS["ESTATE_NAMES"], held_out=held_out),
        )
        self._districts, self._products = own(_WORDS["DISTRICTS"], held_out=held_out), _WORDS["PRODUCTS"]
        self._cities = [
            (province, city) for province, names in _PROVINCE_CITIES.items() for city in own(names, held_out=held_out)
        ]
        self._kinds: dict[str, Callable[[], str]] = {
            name.removeprefix("_make_"): getattr(self, name) for name in dir(self) if name.startswith("_make_")
        }

    def __call__(self, kind: str) -> str:
        """A value for the gap of that name. Raises KeyError for a name that is no gap."""
        return self._kinds[kind]()

    def _some(self, characters: str, *lengths: int) -> str:
        return "".join(self.rng.choices(characters, k=self.rng.choice(lengths)))

    # People

    def _make_last(self) -> str:
        return self.rng.choice(_WORDS["DOUBLE_SURNAMES"]) if self.rng.random() < 0.03 else self.rng.choice(_SURNAMES)

    def _make_person(self) -> str:
        """A full name; the held-out side has given names that training leaves out, and Faker's."""
        while True:
            if self.rng.random() < 0.12:
                return self._make_foreign()
            name = self._faker.name() if self.rng.random() < 0.15 else self._make_last() + self._given()
            if own([name[-2:]], held_out=self._held_out):
                return str(name)

    def _given(self) -> str:
        given = self._some(_GIVEN, 1, 2, 2, 2)
        return given[0] * 2 if len(given) == 2 and self.rng.random() < 0.03 else given

    def _make_foreign(self) -> str:
        def part() -> str:
            if self.rng.random() < 0.4:
                return self.rng.choice(self._foreign)
            return "".join(self.rng.choices(_WORDS["FOREIGN_SYLLABLES"], k=self.rng.choice((2, 2, 3, 3, 4))))

        return self.rng.choice(("{a}", "{a}·{b}", "{a}·{b}", "{a}·{b}·{c}", "{a}•{b}")).format(a=part(), b=part(), c=part())

    def _make_english(self) -> str:
        first, last = self.rng.choice(self._english), self.rng.choice(_WORDS["ENGLISH_LAST"])
        value = self.rng.choice((first, first, f"{first} {last}", f"{first} {last}"))
        return value.lower() if self.rng.random() < 0.1 else value

    def _make_nick(self) -> str:
        last, given = self._make_last(), self.rng.choice(_GIVEN)
        return self.rng.choice((f"小{last}", f"老{last}", f"阿{given}", f"{given}{given}", f"小{given}", f"{last}{given}"))

    def _make_mr(self) -> str:
        """A surname with a form of address: marked as a whole."""
        titles = _WORDS["FORMS_OF_ADDRESS"]
        return self._make_last() + self.rng.choice(titles)

    # Places

    def _make_province(self) -> str:
        province = self.rng.choice(_WORDS["PROVINCES"])
        return province if self.rng.random() < 0.6 else _short(province)

    def _make_city(self) -> str:
        province, city = self.rng.choice(self._cities)
        return self.rng.choice(
            (
                city,
                city,
                city + "市",
                city + "市",
                _short(province) + city,
                province + city + "市",
                self.rng.choice(("北京", "上海", "天津", "重庆", "香港", "澳门")),
            )
        )

    def _make_district(self) -> str:
        return self._any_district()

    def _make_place(self) -> str:
        return self.rng.choice(
            (
                self._make_city,
                self._make_city,
                self._make_province,
                self._foreign_place,
                self._foreign_place,
                self._any_district,
                self._county,
            )
        )()

    def _make_country(self) -> str:
        return self.rng.choice(self._places)

    def _foreign_place(self) -> str:
        return self.rng.choice(self._places)

    def _county(self) -> str:
        return self._some(_VILLAGE_CHARS, 1, 2) + self.rng.choice(("县", "镇", "村", "乡", "县", "街道"))

    def _any_district(self) -> str:
        if self.rng.random() < 0.7:
            return self.rng.choice(self._districts)
        return self._some(_VILLAGE_CHARS + "安平宁和兴阳", 1, 2) + self.rng.choice(("区", "区", "县", "市", "新区"))

    # Addresses

    def _make_road(self) -> str:
        name = (
            self.rng.choice(self._roads)
            if self.rng.random() < 0.65
            else self._some(_VILLAGE_CHARS + "安平宁和兴阳华光明", 2, 2, 3)
        )
        return name + self.rng.choice(_WORDS["ROAD_KINDS"])

    def _number(self, top: int) -> str:
        value = str(self.rng.randrange(1, top))
        if self.rng.random() < 0.04:
            return self.rng.choice(_NUMERALS) + self.rng.choice(("", "十", self.rng.choice(_NUMERALS[:9])))
        return value.translate(_WIDE) if self.rng.random() < 0.03 else value

    def _estate(self) -> str:
        name = self.rng.choice(self._estates) if self.rng.random() < 0.7 else self._some(_COMPANY_CHARS, 2)
        return name + self.rng.choice(_WORDS["ESTATE_KINDS"])

    def _building(self) -> str:
        number, room = self._number, self.rng.randrange(101, 3300)
        return self.rng.choice((
            f"{number(40)}号楼{number(7)}单元{room}室", f"{number(40)}栋{number(7)}单元{room}", f"{number(40)}幢{room}室",
            f"{number(30)}号楼{room}", f"{number(40)}栋{room}", f"{self.rng.choice('ABCDEFG')}座{room}室",
            f"{self.rng.choice('ABCD')}座{number(30)}层", f"{room}室", f"{number(30)}楼", f"{number(20)}-{number(4)}-{room}",
            f"{number(40)}号楼", f"{number(12)}楼{room}室", f"{self.rng.choice('甲乙丙东西')}{number(30)}号",
            f"{number(200)}弄{number(80)}号{room}室", "",
        ))  # fmt: skip

    def _region(self) -> str:
        rng = self.rng
        if rng.random() < 0.3:
            city = rng.choice(("北京市", "上海市", "天津市", "重庆市", "北京", "上海", "深圳市", "广州市", "成都市", "杭州市"))
            return city + rng.choice((self._any_district(), self._any_district(), ""))
        province, city = rng.choice(self._cities)
        start = rng.choice((province, province, _short(province), ""))
        return (
            start
            + city
            + rng.choice(("市", "市", "市", ""))
            + rng.choice((self._any_district(), self._any_district(), self._any_district(), ""))
        )

    def _make_street(self) -> str:
        number = self._number(2000)
        return f"{self._make_road()}{number}{self.rng.choice(('号', '号', '号', '号院', '弄'))}"

    def _make_address(self) -> str:
        rng = self.rng
        form = rng.random()
        if form < 0.48:
            value = f"{self._region()}{self._make_street()}{rng.choice((self._estate(), '', ''))}{self._building()}"
        elif form < 0.66:
            value = f"{self._region()}{rng.choice((self._make_road(), ''))}{self._estate()}{self._building() or '3号楼'}"
        elif form < 0.78:
            town = self._some(_VILLAGE_CHARS, 1, 2) + rng.choice(("镇", "乡", "街道"))
            village = self._some(_VILLAGE_CHARS, 1, 2) + rng.choice(("村", "社区", "屯", "庄"))
            ends = ("", f"{self._number(20)}组", f"{self._number(300)}号", f"{self._number(12)}队")
            value = f"{self._region()}{town}{village}{rng.choice(ends)}"
        elif form < 0.84:
            value = rng.choice((self._taiwan, self._hong_kong))()
        else:
            value = f"{self._region()}{self._make_street()}"
        return value.replace("市", "市 ", 1) if rng.random() < 0.03 else value

    def _taiwan(self) -> str:
        city, section = self.rng.choice(("台北市", "高雄市", "台中市", "新北市")), self.rng.choice(("", "一段", "二段"))
        return f"{city}{self._any_district()}{self._make_road()}{section}{self._number(300)}号{self._number(20)}楼"

    def _hong_kong(self) -> str:
        quarter, flat = self.rng.choice(("九龙", "湾仔", "中环", "旺角", "铜锣湾", "新界沙田")), self.rng.choice("ABCD")
        return f"香港{quarter}{self._make_road()}{self._number(300)}号{self._estate()}{self._number(40)}楼{flat}室"

    def _make_short_address(self) -> str:
        rng = self.rng
        return rng.choice((
            self._make_address, self._make_street, lambda: f"{self._any_district()}{self._make_street()}",
            lambda: f"{self._any_district()}{self._estate()}{self._building() or '2栋'}",
            lambda: f"{self._estate()}{self._building() or '5号楼'}", lambda: f"{self._make_street()}{self._building()}",
        ))()  # fmt: skip

    # Organisations

    def _make_company(self) -> str:
        rng = self.rng
        if rng.random() < 0.3:
            return rng.choice(self._companies)
        if rng.random() < 0.1:
            return str(self._faker.company())
        name = rng.choice(
            (
                self._some(_COMPANY_CHARS, 2, 2, 3),
                self._some(_COMPANY_CHARS, 2),
                "".join(rng.choices(_WORDS["FOREIGN_SYLLABLES"], k=3)),
            )
        )
        return rng.choice(_WORDS["COMPANY_FORMS"]).format(
            town=rng.choice((rng.choice(self._cities)[1], "北京", "上海")), name=name, n=rng.choice(_NUMERALS)
        )

    # What is no name

    def _make_job(self) -> str:
        return self.rng.choice(_WORDS["JOBS"])

    def _make_product(self) -> str:
        return self.rng.choice(self._products)

    def _make_phone(self) -> str:
        return self.rng.choice(
            (
                self._faker.phone_number(),
                self._faker.phone_number(),
                "010-" + self._some("23456789", 8),
                "+86 " + self._faker.phone_number(),
            )
        )

    def _make_id(self) -> str:
        return str(self._faker.ssn())

    def _make_email(self) -> str:
        return str(self._faker.email())

    def _make_card(self) -> str:
        return "62" + self._some(string.digits, 14, 17)

    def _make_plate(self) -> str:
        return self.rng.choice("京沪粤浙苏川鄂") + self.rng.choice("ABCDE") + self._some(string.digits + "ABCDEFGH", 5)

    def _make_order(self) -> str:
        return self._some(string.digits, 8, 10, 12)

    def _make_code(self) -> str:
        return self._some(string.ascii_uppercase, 1, 2, 3) + self._some(string.digits, 3, 4, 6)

    def _make_number(self) -> str:
        return self.rng.choice((str(self.rng.randrange(1, 100)), self.rng.choice(_NUMERALS)))

    def _make_amount(self) -> str:
        return str(self.rng.randrange(5, 90000)) + self.rng.choice(("元", "块", "元", "万元", "美元", ".00元"))

    def _make_date(self) -> str:
        year, month, day = self.rng.randrange(1950, 2026), self.rng.randrange(1, 13), self.rng.randrange(1, 29)
        return self.rng.choice((f"{year}年{month}月{day}日", f"{month}月{day}日", str(self._faker.date()), f"{month}月{day}号"))

    def _make_day(self) -> str:
        return self.rng.choice(_WORDS["DAYS"])

    def _make_time(self) -> str:
        return self.rng.choice(
            (
                f"{self.rng.randrange(1, 13)}点",
                f"{self.rng.randrange(8, 22)}:{self.rng.randrange(10, 60)}",
                "下午3点",
                "晚上八点半",
            )
        )

    def _make_version(self) -> str:
        return ".".join(str(self.rng.randrange(30)) for _ in range(3))


_WIDE = str.maketrans(string.digits, "0123456789".translate({code: code + 0xFEE0 for code in range(0x30, 0x3A)}))


def _short(province: str) -> str:
    for suffix in ("特别行政区", "壮族自治区", "回族自治区", "维吾尔自治区", "自治区", "省", "市"):
        province = province.removesuffix(suffix)
    return province

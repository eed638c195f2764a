"""Flags as things, and what is true of the countries: capital, continent, currency, official languages."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from okedit_cli.dataset.things import Art, Thing, code, rows_of

# shorter or plainer than the names of the emoji; further spellings after the first
_NAMES = {
    "CD": ["Democratic Republic of the Congo", "DR Congo", "Congo-Kinshasa"],
    "CG": ["Republic of the Congo", "Congo-Brazzaville", "Congo"],
    "CI": ["Ivory Coast", "Côte d'Ivoire"],
    "CV": ["Cape Verde", "Cabo Verde"],
    "CZ": ["Czech Republic", "Czechia"],
    "FM": ["Micronesia", "Federated States of Micronesia"],
    "GB": ["United Kingdom", "UK", "Great Britain", "Britain"],
    "HK": ["Hong Kong"],
    "MM": ["Myanmar", "Burma"],
    "MO": ["Macau", "Macao"],
    "NL": ["Netherlands", "the Netherlands", "Holland"],
    "PS": ["Palestine", "Palestinian Territories"],
    "SZ": ["Eswatini", "Swaziland"],
    "TL": ["East Timor", "Timor-Leste"],
    "TR": ["Turkey", "Türkiye"],
    "US": ["United States", "USA", "United States of America", "US", "America"],
    "VA": ["Vatican City", "Vatican", "the Vatican"],
    "AE": ["United Arab Emirates", "UAE"],
    "BA": ["Bosnia and Herzegovina", "Bosnia"],
}
_NO_LAND = {"EU", "UN", "AQ", "CP", "DG", "EA", "IC", "TA", "AC", "CQ"}  # no country, or no flag of its own
# on two continents, or counted differently by different people
_NO_CONTINENT = {"RU", "TR", "KZ", "AZ", "GE", "AM", "CY", "EG", "ID", "TL", "PA"}
_NO_CAPITAL = {"IL", "PS", "EH", "TW", "NR", "BI", "CI", "BJ", "TZ", "LK", "BO", "YE", "SZ"}
_CAPITALS = {
    "US": ["Washington, D.C.", "Washington", "Washington D.C."],
    "UA": ["Kyiv", "Kiev"],
    "MX": ["Mexico City"],
    "KZ": ["Astana", "Nur-Sultan"],
}
_SUBDIVISIONS = {
    "1f3f4-e0067-e0062-e0065-e006e-e0067-e007f": "England",
    "1f3f4-e0067-e0062-e0073-e0063-e0074-e007f": "Scotland",
    "1f3f4-e0067-e0062-e0077-e006c-e0073-e007f": "Wales",
}


@dataclass(frozen=True)
class Land:
    """What is true of a country; each a tuple of accepted spellings, empty where it is not plain."""

    code: str
    independent: bool
    capital: tuple[str, ...] = ()
    continent: tuple[str, ...] = ()
    currency: tuple[str, ...] = ()
    language: tuple[str, ...] = ()


def lands(members: dict[str, bytes]) -> dict[str, Land]:
    """Countries by their two letters, from world-countries (its data in `members`)."""
    name = next(
        (name for name in ("countries.json", "dist/countries.json") if name in members), "countries.json"
    )
    return {row["cca2"]: _land(row) for row in rows_of(members, name)}


def _land(row: dict[str, Any]) -> Land:
    letters = row["cca2"]
    capitals = _CAPITALS.get(letters) or (row["capital"] if len(row["capital"]) == 1 else [])
    currencies = [money["name"] for money in (row["currencies"] or {}).values()]
    return Land(
        code=letters,
        independent=bool(row["unMember"]) or letters in ("VA", "XK", "TW", "PS"),
        capital=() if letters in _NO_CAPITAL else _spelled(capitals),
        continent=() if letters in _NO_CONTINENT else _continent(row["region"], row.get("subregion", "")),
        currency=_currency(currencies[0]) if len(currencies) == 1 else (),
        language=_spelled(list((row["languages"] or {}).values())),
    )


def _continent(region: str, subregion: str) -> tuple[str, ...]:
    if region == "Americas":
        south = subregion == "South America"
        return ("South America", "the Americas", "America") if south else (
            "North America",
            *((subregion,) if subregion and subregion != "North America" else ()),
            "the Americas",
            "America",
        )  # fmt: skip
    if region == "Oceania":
        return ("Oceania", "Australia and Oceania")
    return (region,) if region in ("Africa", "Asia", "Europe") else ()


def _currency(name: str) -> tuple[str, ...]:
    """The whole name, and its last word alone: "Japanese yen", "yen"."""
    if name.casefold() == "euro":
        return ("euro", "Euro", "euros")
    last = name.split()[-1]
    return _spelled([name, last if last[0].isupper() else last])


def _spelled(names: list[str]) -> tuple[str, ...]:
    """The names, and each without its accents."""
    plain = [unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in names]
    return tuple(dict.fromkeys([*names, *(text for text in plain if len(text) > 2)]))


def flags(
    names: dict[str, bytes],
    known: dict[str, Land],
    art: dict[str, Art],
    others: dict[str, dict[str, Art]],
) -> list[Thing]:
    """Flags of emojibase that `art` has, independent countries first: of two alike the first is kept."""
    found = []
    for row in rows_of(names, "en/data.json"):
        key = code(row["hexcode"])
        letters, name = _letters(key), row["label"].removeprefix("flag: ")
        if (not letters and key not in _SUBDIVISIONS) or letters in _NO_LAND or key not in art:
            continue
        land = known.get(letters)
        independent = land is not None and land.independent
        accepted = tuple(_NAMES.get(letters) or _spelled(_plain(name)))
        found.append(
            Thing(
                key=f"flag/{letters.lower() or _SUBDIVISIONS[key].lower()}",
                kind="flag",
                accepted=accepted,
                sort="flag",
                noun="country" if independent else "country or territory",
                fine=(land.continent if land else ()) or ("flag",),
                near=(land.continent[0] if land and land.continent else "elsewhere"),
                art=art[key],
                others={artist: pictures[key] for artist, pictures in others.items() if key in pictures},
                medium="drawing",
                land=letters,
            )
        )
    return sorted(found, key=lambda thing: thing.noun != "country")


def _letters(key: str) -> str:
    """The two letters that a flag's code points spell; "" for other flags."""
    points = key.split("-")
    if len(points) != 2 or not all(point.startswith("1f1") for point in points):
        return ""
    return "".join(chr(int(point, 16) - 0x1F1E6 + ord("A")) for point in points)


def _plain(name: str) -> list[str]:
    text = name.replace("’", "'").replace(" & ", " and ")
    if text.startswith("St. "):
        return ["Saint " + text[4:], text]
    return [text]

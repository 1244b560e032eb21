"""Names of columns in several languages, and units in names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Canonical quantity -> words of its names (whole words of the name after `plain_name`), best first, parted by bars.
# English, German, French, Spanish, Dutch, Italian, Norwegian.
_WORDS = {
    "soc_frac": (
        "displayed soc | soc | state of charge | ladezustand | ladestand | batteriestand | battery level "
        "| etat de charge | estado de carga | laadtoestand | stato di carica | ladetilstand | akkustand"
    ),
    "soh_frac": "soh | state of health | batteriegesundheit | etat de sante | estado de salud",
    "voltage_v": (
        "battery voltage | pack voltage | pack volts | batteriespannung | hv voltage | voltage | volts | "
        "volt | spannung | tension | voltaje | spanning | tensione | spenning | u"
    ),
    "current_a": (
        "battery current | pack current | pack amps | batteriestrom | hv current | current | amps | "
        "amperes | ampere | strom | courant | corriente | stroom | corrente | strom | i"
    ),
    "power_kw": (
        "power to ev | powertoev | charging power | charge power | ladeleistung | power | leistung | "
        "puissance | potencia | vermogen | potenza | effekt"
    ),
    "battery_temp_c": (
        "battery temperature | battery temp | batt temp | pack temperature | pack temp | "
        "batterietemperatur | batt | cell temperature | zelltemperatur | temperature batterie | "
        "temperatura bateria | akkutemperatur"
    ),
    "ambient_c": (
        "ambient temperature | ambient temp | ambient | outside temperature | outdoor temperature | "
        "aussentemperatur | umgebungstemperatur | temperature exterieure | temperatura exterior | "
        "buitentemperatuur | utetemperatur | amb"
    ),
    "odometer_km": ("odometer | odo | mileage | kilometerstand | kilometrage | cuentakilometros | kilometerstand km"),
    "energy_in_register_kwh": (
        "active energy to ev | activeenergytoev | energy import register | energy active import register "
        "| total energy charged | lifetime energy in | energy in register"
    ),
    "energy_out_register_kwh": (
        "active energy from ev | activeenergyfromev | energy export register | energy active export "
        "register | lifetime energy out | energy out register"
    ),
    "energy_in_meter_kwh": (
        "energy in | energy charged | energy | energie geladen | geladene energie | energie | el | "
        "charged | energie chargee | energia | kwh"
    ),
    "energy_out_meter_kwh": ("energy out | energy discharged | exported energy | energie entladen | entladene energie"),
    "soc_start_frac": "soc start | start soc | soc at start | start ladezustand",
    "soc_end_frac": "soc end | end soc | soc at end | end ladezustand",
    "start_utc": (
        "plug in | start plugin | start time | session start | start | begin | beginn | startzeit | debut "
        "| inicio | plugin"
    ),
    "end_utc": (
        "plug out | end plugout | end time | session end | stop time | end | ende | stop | endzeit | fin | plugout"
    ),
    "time_utc": (
        "utc timestamp | timestamp utc | timestamp | date time | datetime | time utc | unix time | epoch "
        "time | zeitstempel | zeitpunkt | datum uhrzeit | horodatage | fecha hora | tijdstip | tidspunkt "
        "| utc | time | zeit | datum | date | heure | hora | tijd"
    ),
    "vehicle_id": (
        "vin | vehicle id | vehicle | car id | car | fahrzeug | fahrzeug id | vehicule | vehiculo | "
        "voertuig | user id | user | device uid | deviceuid | device id | charger id | charge point id | "
        "evse id | serial"
    ),
    "session_ref": (
        "session id | session | transaction id | transaction | trip | trip id | fahrt | ladevorgang | "
        "cycle count | cycle"
    ),
    "state": "state | status | zustand",
    "load_kwh": (
        "load | consumption | house load | hausverbrauch | verbrauch | consommation | consumo | verbruik "
        "| forbruk | grid import | import"
    ),
    "pv_kwh": "pv | solar | photovoltaics | photovoltaik | production | erzeugung | generation",
    "price_money_per_kwh": (
        "price | day ahead price | preis | strompreis | prix | precio | prijs | prezzo | pris | eur"
    ),
    "currency": "currency | waehrung | devise",
    "air_temp_c": "air temperature | air temp | temperature | temperatur | lufttemperatur | temp | t2m",
    "air_series_id": "station | station id | wetterstation",
    "elapsed": "test time | elapsed time | time | seconds | t | zeit | elapsed | laufzeit",
}
WORDS = {quantity: tuple(words.split(" | ")) for quantity, words in _WORDS.items()}
# What must never be kept.
_PERSONAL = (
    "vin | lat | latitude | breitengrad | long | lon | lng | longitude | laengengrad | name | email | mail | address | "
    "adresse | plate | license plate | kennzeichen | rfid | id tag | idtag | card | phone | garage id | position | gps"
)
PERSONAL = tuple(_PERSONAL.split(" | "))
_SCALES = (  # quantity, scale and offset to the canonical unit, names of the unit
    ("V", 0.001, 0.0, "mv"),
    ("V", 0.01, 0.0, "cv"),
    ("V", 1.0, 0.0, "v | volt | volts"),
    ("V", 1000.0, 0.0, "kv"),
    ("A", 0.001, 0.0, "ma"),
    ("A", 1.0, 0.0, "a | amp | amps | ampere"),
    ("kW", 0.001, 0.0, "w | watt"),
    ("kW", 1.0, 0.0, "kw"),
    ("kW", 1000.0, 0.0, "mw"),
    ("kWh", 0.001, 0.0, "wh"),
    ("kWh", 1.0, 0.0, "kwh"),
    ("kWh", 1000.0, 0.0, "mwh"),
    ("frac", 0.01, 0.0, "% | pct | percent | prozent"),
    ("frac", 1.0, 0.0, "frac | fraction"),
    ("degC", 1.0, 0.0, "c | °c | degc | celsius"),
    ("degC", 5 / 9, -160 / 9, "f | °f | fahrenheit"),
    ("degC", 1.0, -273.15, "k | kelvin"),
    ("km", 1.0, 0.0, "km"),
    ("km", 1.609344, 0.0, "mi | miles"),
    ("km", 0.001, 0.0, "m"),
    ("s", 1.0, 0.0, "s | sec | second | seconds"),
    ("s", 0.001, 0.0, "ms"),
    ("s", 60.0, 0.0, "min"),
    ("s", 3600.0, 0.0, "h | hours"),
    ("money", 0.001, 0.0, "eur/mwh | gbp/mwh | usd/mwh | eur_mwh"),
    ("money", 1.0, 0.0, "eur/kwh | gbp/kwh | usd/kwh | nok/kwh | eur per kwh"),
    ("money", 0.01, 0.0, "ct/kwh | p/kwh"),
)
_UNITS = {unit: entry[:3] for entry in _SCALES for unit in entry[3].split(" | ")}
QUANTITY: dict[str, str] = {
    "soc_frac": "frac",
    "soh_frac": "frac",
    "soc_start_frac": "frac",
    "soc_end_frac": "frac",
    "voltage_v": "V",
    "current_a": "A",
    "power_kw": "kW",
    "battery_temp_c": "degC",
    "ambient_c": "degC",
    "air_temp_c": "degC",
    "odometer_km": "km",
    "energy_in_register_kwh": "kWh",
    "energy_out_register_kwh": "kWh",
    "energy_in_meter_kwh": "kWh",
    "energy_out_meter_kwh": "kWh",
    "load_kwh": "kWh",
    "pv_kwh": "kWh",
    "price_money_per_kwh": "money",
    "elapsed": "s",
}
_BRACKET = re.compile(r"[\[(]\s*([^\])]+?)\s*[\])]")
_SLASH = re.compile(r"\s/\s*([^/\s]+)$")
_FOLD = str.maketrans("éèêáíóúñåøç", "eeeaiounaoc") | str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class Unit:
    """A unit found in a name."""

    text: str
    quantity: str
    scale: float
    offset: float


def unit_of(name: str, told: str = "") -> Unit | None:
    """Unit that a column's name (or a line of units) states, `None` without.

    Examples
    --------
    >>> unit_of("Battery Voltage [V]").scale, unit_of("power_w").scale, unit_of("SOC")
    (1.0, 0.001, None)
    """
    texts = [told] if told else []
    texts += _BRACKET.findall(name)
    texts += _SLASH.findall(name)
    lowered = name.lower()
    for unit in ("eur_mwh", "eur_per_kwh", "eur_kwh", "ct_kwh"):
        if lowered.endswith(unit):
            texts.append(unit.replace("_per_", "/").replace("_kwh", "/kwh").replace("_mwh", "/mwh"))
    last = re.split(r"[_\s.]", name.strip())[-1]
    if last != name.strip():
        texts.append(last)
    for text in texts:
        # mW is no power of a car, mV and MV differ: only the case of these is looked at.
        found = _UNITS.get(text.strip().lower())
        if found is not None:
            return Unit(text.strip(), *found)
    return None


def plain_name(name: str) -> str:
    """A column's name as plain words: no units, no punctuation, no accents, camelCase parted.

    Examples
    --------
    >>> plain_name("Batterie-Spannung [V]"), plain_name("socStart"), plain_name("DE_KN_pv")
    ('batterie spannung', 'soc start', 'de kn pv')
    """
    name = _BRACKET.sub(" ", name)
    name = _SLASH.sub(" ", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    name = name.lower().translate(_FOLD)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name).split())


_LAST_UNITS = re.compile(r" (?:v|mv|a|ma|w|kw|wh|kwh|pct|percent|c|f|k|km|mi|s|ms|frac|utc)$")


@lru_cache(maxsize=4096)  # every quantity asks for every column of a table, some of them several times
def match(name: str, quantity: str) -> int:
    """How well a name says a quantity: 0 not at all, higher is better."""
    plain = plain_name(name.rsplit(".", 1)[-1] if "." in name and " " not in name else name)
    bare = _LAST_UNITS.sub("", plain)
    joined = plain.replace(" ", "")
    best = 0
    for rank, words in enumerate(WORDS[quantity]):
        exact = words in (plain, bare) or words.replace(" ", "") == joined
        whole = len(words) > 1 and re.search(rf"(?:^| ){re.escape(words)}(?: |$)", bare) is not None
        if exact:
            best = max(best, 1000 - rank)
        elif whole:
            best = max(best, 500 - rank + len(words))
    return best


def is_personal(name: str) -> bool:
    """Whether a column's name says that it holds what must not be kept."""
    plain = plain_name(name)
    return any(plain == word or re.search(rf"(?:^| ){word}(?: |$)", plain) for word in PERSONAL if len(word) > 2)


# Words that say: not the measured value itself.
_NOT_MEASURED = {
    "min",
    "max",
    "requested",
    "target",
    "limit",
    "soll",
    "set",
    "setpoint",
    "ziel",
    "available",
    "offered",
    "interpolated",
}
_NOT_OF = {
    "power_kw": {
        "heating",
        "air",
        "heater",
        "aircon",
        "motor",
        "switch",
        "sw",
        "factor",
        "reactive",
        "a",
        "aux",
        "apparent",
        "max",
    }
}


def score(name: str, quantity: str) -> int:
    """How well a column's name and unit say a quantity, 0 where something speaks against it."""
    said = match(name, quantity)
    if not said:
        return 0
    unit = unit_of(name)
    wanted = QUANTITY.get(quantity)
    if unit is not None and wanted is not None and unit.quantity != wanted and len(unit.text) > 1:
        return 0
    if unit is not None and unit.quantity == wanted:
        said += 50
    words = set(plain_name(name).split())
    if words & _NOT_MEASURED:
        said -= 400
    if words & _NOT_OF.get(quantity, set()):
        return 0
    return max(said, 0)

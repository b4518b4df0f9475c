"""The one-time codes in a message: what its words call a code, and not what else has digits.

A code is told by the words about it. What is called one ("your PIN is …", "… is your code", a line of its own) outranks what merely stands
in a sentence with such a word, and that what stands near one. Numbers that are called something else (an order's, a telephone's), sums,
dates, post codes and parts of longer numbers are none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from portyard.console.core.finding import MOST, TEXT_LIMIT, URL, once, visible

REACH = 80  # characters between a word that speaks of a code and the code
_LABEL_REACH = 60  # characters in which what a number is called stands before it

# Letters and digits with which a code would go on. Chinese and Japanese write no spaces, so theirs aren't among them.
_LETTER = "A-Za-z0-9_\u00c0-\u024f\u0370-\u04ff"
_BLANK = r" \xa0\u2002-\u200a\u202f"  # of any width
_HYPHEN = r"\u2010\u2011-"
_GAP = rf"(?:[{_BLANK}]{{1,3}}|[{_BLANK}]?[{_HYPHEN}][{_BLANK}]?)"
_END = r"[^\S\n]{0,20}\n\s{0,40}"  # of a line, or between a table's cells
# Four to ten digits, maybe in groups of two to four, or each for itself, even in a line or a table's cell of its own; or letters and digits
# mixed, in capitals, maybe with a hyphen or a prefix; or letters alone in two groups of the same size, where they are called a code.
_CODE = re.compile(
    rf"(?<![{_LETTER}./@#%&+$€£¥-])(?<![0-9][:,])(?:[A-Z]{{1,3}}-)?"
    rf"(?P<code>[0-9]{{2}}(?P<gap>[{_BLANK}{_HYPHEN}])[0-9]{{2}}(?:(?P=gap)[0-9]{{2}}){{1,2}}"
    rf"|[0-9]{{3}}(?:{_GAP}[0-9]{{3}}){{1,2}}|[0-9]{{4}}{_GAP}[0-9]{{4}}|[0-9]{{4,10}}"
    rf"|[0-9](?:{_GAP}[0-9]){{3,9}}|[0-9](?:{_END}[0-9]){{3,9}}"
    r"|[A-Z]{3}-[A-Z]{3}|(?!READ-ONLY)[A-Z]{4}-[A-Z]{4}|(?=[A-Z-]*[0-9])[A-Z0-9]{3,6}-[A-Z0-9]{3,6}|(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{5,10})"
    rf"(?![{_LETTER}@%/-]|[.,:][0-9])"
)

# ── words that speak of a code ───────────────────────────────────────────────────────────────────────────────────────────────

_OTHER_CODES = "bar|post|zip|promo|coupon|gutschein|rabatt|aktions|qr|en|de|uni|source|quell|geo|error|fehler|status"
_NOUN = re.compile(
    rf"(?<![{_LETTER}])(?:(?!(?:{_OTHER_CODES})-?codes?)[^\W\d_]{{0,24}}?"
    r"(?:codes?|kod(?:u|en|e|y)?|codice|codici|c[oó]digos?|passcodes?|passwor[dt]|kennwort)"
    r"|pin|otp|m?tan|token|2fa|clave|contraseña|mot de passe|senha|wachtwoord|lösenord|adgangskode|has[lł]o|şifre)"
    rf"(?![{_LETTER}])|コード|暗証番号|パスワード|验证码|驗證碼|校验码|动态码|인증번호|코드|код|пароль",
    re.IGNORECASE,
)
_OTHER_KINDS = (
    r"(?:postal|post|zip|area|country|diall?ing|bar|qr|promo(?:tion(?:al)?)?|coupon|discount|voucher|gift(?: card)?|referral|invite"
    r"|error|status|source|product|sort|dress|track(?:ing)?|booking|order|customer|swift|tax|colou?r|exit|reason)[ -]"
)
_NOT_THAT_BEFORE = re.compile(f"{_OTHER_KINDS}$", re.IGNORECASE)
_NOT_THAT_BEHIND = re.compile(
    r" (?:postale?|promo|barres?|de (?:suivi|barras|seguimiento|descuento|réduction)|d['’]erreur|client|fiscale|of conduct|review)\b",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    rf"(?<![{_LETTER}])(?:v[eé]rif\w*|confirm\w*|conferm\w*|one[- ]time|security|log[- ]?in|sign[- ]?(?:in|up)|best[aä]tig\w*|anmeld\w*"
    r"|sicherheit\w*|connexion|connecter|autentica\w*|acceso|accesso|weryfik\w*|potwierd\w*|logowani\w*|inlogg\w*|bekräft\w*"
    r"|подтвержд\w*|doğrula\w*)|認証|確認|登录|确认|验证",
    re.IGNORECASE,
)
_IS = r"(?:is|are|ist|lautet|est|es|è|é|jest|to|är|er|below|now|als|as|:|：|=|は|が|为|是|는|은)"
_NAMED = re.compile(rf"[\s\"'“”„«»*_>()\[\]、，,–—→-]*(?:{_IS}[\s\"'“”„«»*_>(\[–—→-]*){{0,3}}", re.IGNORECASE)
_TOLD = re.compile(
    rf"[^\n]*(?<![{_LETTER}])(?:(?:is|ist|lautet|est|es|è|é|jest|är|er)[ \xa0]|[:：=])[\s\"'“”„«»*_(\[]*", re.IGNORECASE
)
_IS_THE = re.compile(
    r"[\s\"'”»*_)\],，]*(?:(?:is|ist|est|es|è|é|jest|är|er|as|als|como|comme|come|jako|som)\s|[はが为是]|:|[–—-]\s)",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[.!?](?=\s|$)|[。！？]|\n\s*\n")  # a sentence
_ALONE = "".join((" \t\r\xa0", "*_>|[]()\"'“”„«»·•-"))
_ITEM = re.compile(r"^\s*[0-9]{1,2}[.)]\s")  # of a list with numbers
_LISTED = re.compile(r"[\s,;|•*]*(?:(?:and|or|und|oder|y|et|e|&)\s+)?")

# ── words that call a number something else ──────────────────────────────────────────────────────────────────────────────────

_NUMBER = r"(?:no|nr|num|number|nummer|número|numero|numéro|numer|n|nº|№|id|номер|codes?)\b[.:°º]?"
_LABEL = (
    r"orders?|bestell\w*|auftrag\w*|commande|pedido|ordine|zamówieni\w*|order\w*nummer|invoice|rechnung\w*|facture|factura|fattura|faktur\w*"
    r"|ticket|case|vorgang\w*|referen\w+|réf\w*|ref|booking|buchung\w*|reserv\w+|réserv\w+|customer|kunde\w*|client\w*|member\w*|mitglied\w*"
    r"|iban|bic|article|artikel\w*|item|sku|isbn|track\w*|parcel|paket\w*|shipment|sendung\w*|suivi"
    r"|seguimiento|colis|spedizione|przesyłk\w*|zip|plz|post\w*|c\.?a\.?p|cp|tel|tél|tlf|tel[eé][fp]\w*|tél[eé]ph\w*|phone|fax|mobile?|mobil\w*|handy"
    r"|hotline|whatsapp|cell|room|zimmer\w*|flight|version|build|port|vat|ust\w*|tax|steuer\w*|hrb|siret|kvk|totals?|amount|betrag|summe"
    r"|montant|importe?|importo|balance|serial|serien\w*|model|since|seit|depuis|desde|copyright|year|box|postfach|suite|apt"
    r"|телефон\w*|заказ\w*|電話|電話番号|注文番号|订单号?|电话"
)
_RING = r"ruf\w{0,3}|appel\w{0,6}|ll[aá]m\w{0,6}|chiam\w{0,6}|zadzwoń|bel"
_THEN_IS = r"[ \xa0]*(?:is|was|ist|lautet|est|es|è|jest|är|er)?"
_GLUE = r"\.?[ \xa0:：#=(+–-]*"
_BEGIN = rf"(?<![{_LETTER}])"
# What may stand before a number, up to it, that makes it no code.
_CALLED = re.compile(
    "(?:"
    + "|".join(
        (
            rf"\b(?:{_OTHER_KINDS}|(?:{_OTHER_CODES})-?)codes?{_THEN_IS}[ \xa0:=]*",
            rf"{_BEGIN}(?:{_LABEL})(?:[ \xa0-]*{_NUMBER}{_THEN_IS})?{_GLUE}",
            rf"{_BEGIN}(?:account|compte|cuenta|conto)[ -]*{_NUMBER}{_THEN_IS}{_GLUE}",
            rf"[^\W\d_]+(?:nummer|number|nr)\b{_THEN_IS}{_GLUE}",
            rf"{_BEGIN}(?:{_LABEL})(?:[ \xa0-]*{_NUMBER})?[ ]*:\s*",
            rf"(?:^|\n)[ \t]*(?:\w{{2,5}} )?(?:{_LABEL})(?:[ \xa0-]*{_NUMBER})?\s+",  # a line of its own above it
            rf"{_BEGIN}(?:call|dial|ring|{_RING})(?: [^\W\d_]{{1,6}}){{0,3}}[ :(+]*",
            r"end(?:ing|end|et|s) (?:in|with|auf)[ :]*|terminant par[ :]*|(?:\*{3,}|[•·]{2,}|[xX]{3,})[ -]?|©[ ]?",
            r"(?:[$€£¥]|\b(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|JPY|kr|Rs))\.?[ \xa0]",
        )
    )
    + ")$",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"[ \xa0]?(?:[$€£¥]|(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|JPY|kr|zł|euros?|dollars?|points?|punkte|miles|[KMGT]B|km|kg|px|users?|steps"
    r"|seconds|sekunden|minut\w*|hours?|days?|tage)\b)",
    re.IGNORECASE,
)
# Standards and the like that look mixed, and prefixes of other numbers.
_TERM = re.compile(
    r"(?:SHA|AES|RSA|MD|HTTP|BASE|UTF|ISO|WIN|IOS|USB|TLS|RFC|CVE|DIN|COVID|ORD|INV|REF|TKT|CAS|RMA|SKU|PO|SO|RE|NR|NO)-?[0-9]"
)

# ── shapes of other numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

_GROUP_BEFORE = re.compile(rf"([0-9]+)(?:[{_BLANK}]{{1,3}}|/)$|\([0-9+ ]{{1,6}}\)[{_BLANK}/-]?$")
_GROUP_BEHIND = re.compile(rf"[{_BLANK}]{{1,3}}([0-9]+)|[{_BLANK}]?\([0-9]")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2])(?:19|20)[0-9]{2}"
)
_PHONE = re.compile(r"0[0-9]{8,9}")
_DAY = re.compile(  # "24-11-12", "12-11-24", "11-12-24"
    r"[0-9]{2}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))|(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])-[0-9]{2}"
    r"|(?:0[1-9]|[12][0-9]|3[01])-(?:0[1-9]|1[0-2])-[0-9]{2}"
)
_FOUR_PAIRS = re.compile(r"[0-9]{2}(?:[^0-9][0-9]{2}){3}")  # a telephone number of Denmark's or Norway's
_APART = re.compile(r"[0-9](?:\D+[0-9])*")  # the digits of a scale, or each in a line or cell of its own
_COUNT = "1234567890"
_TOWN = re.compile(r" (?:[A-ZÄÖÜÉ][a-zäöüßéè]{2,}|[A-Z]{2}\b)")  # "20457 Hamburg", "1012 AB"
_LINE_OF_ADDRESS = re.compile(r"(?:^|\n|[,.;:!?] )[ \t]*(?:[A-Z]{1,2}-)?$")
_STATE = re.compile(r"(?:^|[\s,])[A-Z]{2} $")  # "CA 94103"


class _Rank(IntEnum):
    """How sure it is; the least is surest."""

    CALLED = 0
    SENTENCE = 1
    NEAR = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """A text without its links, and where it speaks of codes."""

    text: str
    nouns: list[tuple[int, int]]
    words: list[tuple[int, int]]

    @classmethod
    def of(cls, text: str) -> _Part:
        plain = URL.sub(lambda match: " " * len(match[0]), text)
        nouns = [match.span() for match in _NOUN.finditer(plain) if _means_a_secret(match, plain)]
        return cls(plain, nouns, sorted(nouns + [match.span() for match in _TOPIC.finditer(plain)]))


def codes(subject: str, text: str | None, html: str | None) -> list[str]:
    """One-time codes, the surest alone, in order; digits in groups are joined."""
    body = text if text else visible(html or "")
    parts = [_Part.of(subject), _Part.of(body[:TEXT_LIMIT])]
    speaks = any(part.words for part in parts[:1])
    found = [each for part in parts if part.words or speaks for each in _found(part)]
    best = min((rank for rank, _ in found), default=_Rank.NEAR)
    return once(code for rank, code in found if rank is best)


def _found(part: _Part) -> Iterator[tuple[_Rank, str]]:
    """The codes of a text with their ranks, until there are enough of the surest."""
    last = -1
    sure = 0
    for match in _CODE.finditer(part.text):
        rank = _rank(match, part)
        listed = last >= 0 and _LISTED.fullmatch(part.text, last, match.start())
        if rank is not None and listed and rank is not _Rank.CALLED and _shape(match) is None:
            rank = _Rank.CALLED
        if rank is None:
            continue
        yield rank, _joined(match)
        if rank is _Rank.CALLED:
            last = match.end()
            sure += 1
            if sure >= MOST * 10:  # the same may come again
                return


def _rank(match: re.Match[str], part: _Part) -> _Rank | None:
    """How sure it is that this is a code; None when it is something else."""
    text, (start, end) = part.text, match.span()
    before, behind = text[max(0, start - _LABEL_REACH) : start], text[end : end + _LABEL_REACH]
    if _TERM.match(match[0]) or _is_piece(match, before, behind):
        return None
    if _is_named_behind(part, end, behind):
        return _Rank.CALLED
    if _CALLED.search(before) or _COUNTED.match(behind):
        return None
    shape = _shape(match)
    if not any(map(str.isdigit, match["code"])):  # a button's words, such as SIGN-OFF, else
        return _Rank.CALLED if _is_named_before(part, start) else None
    if _is_named_before(part, start) or (_is_alone(text, start, end) and shape in (None, _YEAR)):
        return _Rank.CALLED
    if shape is not None or _is_post_code(match["code"], before, behind):
        return None
    return _nearness(part, start, end)


def _is_piece(match: re.Match[str], before: str, behind: str) -> bool:
    """Whether it belongs to a longer number in groups: a telephone's, a card's, a parcel's. Equal long ones are a list of codes."""
    size = len(match["code"])
    for found in (_GROUP_BEFORE.search(before), _GROUP_BEHIND.match(behind)):
        if found is not None and not (found[1] and len(found[1]) == size >= 6):
            return True
    return False


def _shape(match: re.Match[str]) -> re.Pattern[str] | None:
    """What else its digits look like: a year, a day, a telephone number, a scale. Such a one must be called a code."""
    digits, code = _joined(match), match["code"]
    if found := next((shape for shape in (_YEAR, _DATE, _PHONE) if shape.fullmatch(digits)), None):
        return found
    if code[1].isdigit():
        return next((shape for shape in (_DAY, _FOUR_PAIRS) if shape.fullmatch(code)), None)
    return _APART if digits in _COUNT or digits in _COUNT[::-1] or "\n" in code else None


def _is_post_code(code: str, before: str, behind: str) -> bool:
    if len(code) not in (4, 5) or not code.isdecimal():
        return False
    town = _TOWN.match(behind) and _LINE_OF_ADDRESS.search(before)
    return bool(town or (len(code) == 5 and _STATE.search(before)))


def _is_named_before(part: _Part, start: int) -> bool:
    """Whether a word for codes leads to it: "your PIN is", "Code:"."""
    place = bisect_left(part.nouns, (start, 0))
    if place == 0:
        return False
    between = part.text[part.nouns[place - 1][1] : start]
    if len(between) > REACH:
        return False
    return bool(_NAMED.fullmatch(between) or (_TOLD.fullmatch(between) and not _ENDS.search(between)))


def _is_named_behind(part: _Part, end: int, behind: str) -> bool:
    """Whether it leads to a word for codes: "… is your code"."""
    link = _IS_THE.match(behind)
    place = bisect_left(part.nouns, (end, 0))
    if link is None or place == len(part.nouns) or part.nouns[place][0] - end > REACH:
        return False
    between = part.text[end : part.nouns[place][0]]
    return not _ENDS.search(between) and "\n" not in between.strip() and not re.search(r"[0-9]{4}", between)


def _is_alone(text: str, start: int, end: int) -> bool:
    behind = text.find("\n", end)
    line = text[text.rfind("\n", 0, start) + 1 : start] + text[end : behind if behind >= 0 else None]
    return not _ITEM.sub("", line).strip(_ALONE)


def _nearness(part: _Part, start: int, end: int) -> _Rank | None:
    """By the words around it, of which only those within reach are looked at."""
    rank = None
    for place in range(bisect_left(part.words, (start - REACH - 40, 0)), len(part.words)):
        word_start, word_end = part.words[place]
        if word_start - end > REACH:
            break
        if start - word_end > REACH:
            continue
        between = part.text[word_end:start] if word_end <= start else part.text[end:word_start]
        if not _ENDS.search(between):
            return _Rank.SENTENCE
        rank = _Rank.NEAR
    return rank


def _means_a_secret(match: re.Match[str], text: str) -> bool:
    start = match.start()
    return not (_NOT_THAT_BEFORE.search(text, max(0, start - 20), start) or _NOT_THAT_BEHIND.match(text, match.end()))


def _joined(match: re.Match[str]) -> str:
    code = match["code"]
    digits = re.sub(rf"[\s{_BLANK}{_HYPHEN}]", "", code)
    return digits if digits.isdecimal() else code

"""One-time codes: mails as shops, banks and games write them, in several languages; and everything else in them that has digits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.console.core.finding import MOST
from portyard.console.core.onetime import codes

FOOT = """

Harbour Ltd, 12 Quay Street, Springfield, IL 62704
Phone (217) 555-0142, fax 217 555 0143. Company number 08123456. VAT GB123456789. (c) 2024
"""
SIGNATURE = """

Mit freundlichen Grüßen
Hafen GmbH, Am Kai 12
20457 Hamburg
Tel. 040 1234567, Fax: 040/1234568, HRB 98765
"""

# Subject, text, and the codes in them.
CODES: list[tuple[str, str, list[str]]] = [
    # English
    ("Your code", "Your code is 123456.", ["123456"]),
    ("Sign in", "Use 123 456 to log in", ["123456"]),
    ("Connexion", "Votre code : 12 34 56. Tél. 01 23 45 67 89", ["123456"]),
    ("Connexion", "Appelez le 01 23 45 67 89 pour votre code", []),
    ("Your verification code", "G-482915 is your verification code.", ["482915"]),
    ("482915 is your code", "It expires in 10 minutes.", ["482915"]),
    ("One-time password", "Enter\n\n  7Q4K9Z  \n\nwithin 5 minutes.", ["7Q4K9Z"]),
    ("Verify", "Your code: ABC-12D", ["ABC-12D"]),
    ("Confirm your address", "Your confirmation code is\n\nQWX-RTZ\n\nIt is good for an hour.", ["QWX-RTZ"]),
    ("Verify", "KPLM-XWRT is your code.", ["KPLM-XWRT"]),
    ("Verify", "Your code: 481516\n\nLOG-OUT  SIGN-OFF\n", ["481516"]),
    ("Verify", "Your token is READ-ONLY.\n\nSIGN-OFF\n\nADD-ONS\n", []),
    ("PIN", "PIN: 0042", ["0042"]),
    ("PIN", "Your PIN is 2024", ["2024"]),
    ("Two", "code 111111 and code 222222, again code 111111", ["111111", "222222"]),
    ("Welcome", "Enter this code to log in to your account: 918273", ["918273"]),
    ("Welcome", "To finish signing up for Harbour, enter the code below.\n\n**918273**\n\nThanks", ["918273"]),
    ("Welcome", "Your one-time passcode for order 4711 is 918273", ["918273"]),
    ("Hello", "OTP=918273", ["918273"]),
    ("Hello", "Your code:918273", ["918273"]),
    ("Hello", "Security code (valid for 10 minutes): 918273", ["918273"]),
    ("Hello", "The code for your order is 918273, and it works until 2031.", ["918273"]),
    ("Backup codes", "1111 2222\n3333 4444\n5555 6666", ["11112222", "33334444", "55556666"]),
    ("Backup codes", "Your backup codes: 12345678, 23456789, 34567890", ["12345678", "23456789", "34567890"]),
    ("Backup codes", "1. 12345678\n2. 23456789", ["12345678", "23456789"]),
    ("Log in", "Your code is 918 273 645", ["918273645"]),
    ("Code", "Verification code\n\n918273\n\nOrder number\n\n778899", ["918273"]),
    # In gaps and pairs
    ("Your code", "8 3 4 1 9 2", ["834192"]),
    ("Your code", "8-3-4-1-9-2", ["834192"]),
    ("Hello", "Your code is 8 3 4 1 9 2.", ["834192"]),
    ("Hello", "8 3 4 1 is your code", ["8341"]),
    ("Your code", "Hi\n\n  8  3  4  1  9  2  \n\nBye" + FOOT, ["834192"]),
    ("Your code", "99-88-77", ["998877"]),
    ("Your code", "Item 1\n\n8 3 4 1 9 2", ["834192"]),
    ("Your code", "123 456" + FOOT, ["123456"]),
    ("Your code", "123  456", ["123456"]),
    ("Your code", "123\u2009456" + SIGNATURE, ["123456"]),
    ("Your code", "123 - 456", ["123456"]),
    ("Your code", "123\u2011456", ["123456"]),
    ("Hello", "Your code: 99-88-77-66", ["99887766"]),
    ("Hello", "Your code: 12-11-24", ["121124"]),
    ("Hello", "Your code is 1 2 3 4.", ["1234"]),
    ("Hello", "Your code:\n8\n3\n4\n1\n9\n2\n", ["834192"]),
    # German
    ("Bestätigungscode", "Dein Code lautet 998877", ["998877"]),
    ("Anmeldung", "Ihr Sicherheitscode für die Anmeldung bei Hafen lautet 998877." + SIGNATURE, ["998877"]),
    ("Anmeldung", "998877 ist Ihr Einmalpasswort" + SIGNATURE, ["998877"]),
    ("Anmeldung", "TAN: 443322 für Auftrag 1234567", ["443322"]),
    # French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish
    ("Connexion", "Votre code de vérification est : 204060\nSupport : 01 23 45 67 89, 75002 Paris", ["204060"]),
    ("Connexion", "Saisissez le code suivant :\n\n204060\n", ["204060"]),
    ("Acceso", "Tu código de verificación es 204060. Llámanos al 900 123 456.", ["204060"]),
    ("Acceso", "204060 es tu código de acceso", ["204060"]),
    ("Accesso", "Il tuo codice è 204060 (ordine n. 55667788)", ["204060"]),
    ("Acesso", "Seu código de acesso: 204060", ["204060"]),
    ("Inloggen", "Je inlogcode is 204060. Bel 020 123 4567 voor hulp, 1012 AB Amsterdam", ["204060"]),
    ("Logowanie", "Twój kod logowania to 204060", ["204060"]),
    ("Inloggning", "Din engångskod är 204060", ["204060"]),
    # Russian, Japanese, Chinese, Korean
    ("Вход", "Ваш код подтверждения: 204060. Никому его не сообщайте.", ["204060"]),
    ("ログイン", "認証コードは204060です。10分以内に入力してください。", ["204060"]),
    ("登录", "您的验证码是204060，5分钟内有效。", ["204060"]),
    ("로그인", "인증번호 204060 를 입력하세요.", ["204060"]),
    # A code outranks what stands about it
    ("Your code", "Your code is 918273." + FOOT, ["918273"]),
    ("Your code", "918273\n\nQuestions? Call 0800 1234567 and name case 55443322." + FOOT, ["918273"]),
]

# What is none, in mails that do speak of a code.
NONE = [
    *(
        "Call +49 30 1234567",
        "Call us on 0800123456",
        "phone: 5550142345",
        "Tel. 030 1234567",
        "Fax 040/1234567",
        "Tel.: 0301234567",
    ),
    *(
        "dial 1 800 555 0142",
        "(030) 1234567",
        "Rufen Sie uns an: 0301234567",
        "Appelez le 0123456789",
        "01 23 45 67 89",
    ),
    *(
        "Order 4711001",
        "Order number: 778899",
        "your order no. 778899",
        "order #778899",
        "ORD-778899",
        "Bestellnummer 778899",
    ),
    *(
        "Bestellnummer: 778899",
        "Ihre Kundennummer lautet 778899",
        "commande n° 778899",
        "pedido 778899",
        "Rechnung Nr. 20240017",
    ),
    *(
        "invoice 20240017",
        "INV-20240",
        "ticket 445566",
        "Ref: 445566",
        "case ID 445566",
        "account number is 12345678",
        "zamówienie nr 778899",
    ),
    *(
        "on 2024-11-12",
        "on 12.11.2024",
        "since 2023",
        "on 12 November 2024",
        "20241112",
        "12/11/2024",
        "at 10:4455",
        "in March 2025",
    ),
    *(
        "$1234",
        "1234 EUR",
        "EUR 1234",
        "1234,50 €",
        "4711.00",
        "12.3456",
        "€ 1234",
        "CHF 1200",
        "1200 kr",
        "Total: 4711",
        "5000 points",
    ),
    *(
        "20457 Hamburg",
        "75002 Paris",
        "Springfield, IL 62704",
        "1012 AB Amsterdam",
        "PLZ 20457",
        "ZIP code 62704",
        "code postal 75002",
    ),
    *(
        "Parcel 1Z999AA10123456784",
        "tracking number: AB12CD34",
        "Sendungsnummer 1234567890",
        "suivi : 8N12345678",
        "tracking code 445566",
    ),
    *(
        "card ending in 4242",
        "**** 4242",
        "•••• 4242",
        "IBAN DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "VAT 123456789",
    ),
    *(
        "promo code SAVE2025",
        "coupon code: SUMMER25",
        "error code 500123",
        "area code 030123",
        "QR code 445566",
        "https://x.test/code/123456?code=99887766",
    ),
    *(
        "on 12-11-24",
        "24-11-12",
        "11-24-12",
        "22 33 44 55",
        "Tlf. 22 33 44 55",
        "Ring 22-33-44-55",
        "01-23-45-67-89",
        "Tel. 0 8 0 0 1 2 3 4 5 6",
        "0 8 0 0 1 2 3 4 5 6",
        "+49 3 0 1 2 3 4 5",
        "1 299 000 kr",
        "12 345 678",
        "€ 8 3 4 1",
        "8 3 4 1 €",
        "1 2 3 4 5",
        "1 2 3 4 5 6 7 8 9 10",
        "5 4 3 2 1",
        "2 0 2 4 1 1 1 2",
        "2\n1\n4\n1",
        "Order 8 3 4 1 9 2",
        "Order number: 99-88-77",
        "Sort code: 40-47-84",
        "8 3 4 1 9 2 55",
    ),
    *(
        "SHA-256",
        "AES256",
        "ISO-8859",
        "2048 MB",
        "20000 users",
        "room 4711",
        "(c) 2024",
        "192.168.10.1234",
        "user1234@example.test",
        "#123456",
    ),
]


@pytest.mark.parametrize(("subject", "text", "found"), CODES)
def test_codes(subject: str, text: str, found: list[str]) -> None:
    assert codes(subject, text, None) == found


@pytest.mark.parametrize("words", NONE)
def test_what_is_no_code(words: str) -> None:
    assert codes("Your code", f"We sent you a code by text message. {words}\n", None) == []
    assert codes("Your code", f"Dear customer,\n{words}\nwas not the code that we meant.", None) == []


@pytest.mark.parametrize("words", NONE)
def test_a_code_beside_it_is_the_only_one(words: str) -> None:
    assert codes("Hello", f"Your code is 918273.\n{words}\n", None) == ["918273"]
    assert codes("Hello", f"{words}\n\nYour code:\n\n918273\n", None) == ["918273"]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Invoice 123456", "Dear customer, the total is 4711.00 since 2023."),
        ("Newsletter", "Our 123456 readers love it." + FOOT),
        ("Order 778899", "It ships to 20457 Hamburg on 20241112." + SIGNATURE),
        ("", ""),
    ],
)
def test_mail_that_speaks_of_none(subject: str, text: str) -> None:
    assert codes(subject, text, None) == []


def test_a_code_in_html_alone() -> None:
    html = "<style>.a{color:#123456}</style><p>Your code</p><h1>654321</h1><script>var code = 111111</script>"
    assert codes("Hello", None, html) == ["654321"]
    for shown in (
        "8 3 4 1 9 2",
        "83 41 92",
        "83-41-92",
        "834 192",
        "834&nbsp;192",
        "834&#8239;192",
        "8&thinsp;3 4 1 9 2",
    ):
        assert codes("Your code", None, f"<p>Hi Ada,</p>\n<h1>{shown}</h1>\n<p>It expires in 10 minutes.</p>") == [
            "834192"
        ]
    cells = "\n      ".join(f"<td class=x>{digit}</td>" for digit in "834192")
    assert codes("Hello", None, f"<p>Your code is:</p><table>\n <tr>\n{cells}</tr></table>") == ["834192"]
    table = "<table><tr><td>Order number</td><td>778899</td></tr><tr><td>Code</td><td>654321</td></tr></table>"
    assert codes("Hello", None, table) == ["654321"]


def test_no_more_than_bounded() -> None:
    assert len(codes("code", " ".join(f"code {n}" for n in range(1000, 3000)), None)) == MOST


@pytest.mark.parametrize(
    "piece",
    [
        "code ",
        "1 ",
        "A-",
        "<",
        "123 ",
        "code 1",
        "A1",
        "\n",
        "a",
        "1234 ",
        "code 1234 ",
        "order 12345 ",
        "( ",
        "is ",
        "1  ",
        "1\n",
        "1 \n \n",
        "1-",
        "12-",
        "12 ",
        "123 - ",
    ],
)
def test_nothing_takes_long(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    begun = time.process_time()
    codes("code", text, None)
    codes("code", None, text)
    assert time.process_time() - begun < 20  # linear takes a second or two, anything else minutes


@given(st.text(), st.text(), st.none() | st.text())
def test_anything_is_read(subject: str, text: str, html: str | None) -> None:
    assert all(codes(subject, text, html))

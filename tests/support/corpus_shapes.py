"""The corpus's shapes, a function per kind."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Iterator

from tests.support.corpus import DATE, HTML, PLAIN, Part, attachment, encoded, head, leaf, lines, mime, multipart, text

Made = Iterator[tuple[str, bytes]]


def _of_text(name: str, body: str, *fields: str, subject: str | None = None) -> tuple[str, bytes]:
    return name, text(name, body, *fields, subject=subject)


def _of_part(name: str, part: Part) -> tuple[str, bytes]:
    return name, mime(name, part)


def plain() -> Made:
    yield _of_text("plain", "High water at six.\r\n")
    yield _of_text("empty-body", "")
    yield "header-only-no-blank-line", head("header-only-no-blank-line").encode()
    yield _of_text("blank-lines-only", "\r\n" * 20)
    yield _of_text("no-final-line-end-padding", "The last line has blanks   \r\n")
    yield _of_text("dot-stuffed", ".\r\n..\r\n...\r\n.hidden\r\n. \r\nend.\r\n")
    yield _of_text("dot-first-octet", ".\r\n")
    yield _of_text("long-lines", lines(5, 990, 1))
    yield _of_text("many-lines", lines(5000, 60, 2))
    yield _of_text("from-lines", "From here on\r\n>From there\r\nFrom: not a header\r\n")
    yield _of_text("tabs-and-form-feeds", "a\tb\tc\f\r\n\v\r\n\x7f\r\n")
    yield _of_text("signature", "Yours\r\n-- \r\nMira\r\nHarbour office\r\n")
    yield _of_text(
        "format-flowed",
        "A paragraph \r\nthat flows \r\non.\r\n",
        'Content-Type: text/plain; format=flowed; delsp="yes"',
    )
    yield _of_text("quoted-thread", "> > old\r\n> less old\r\nnew\r\n", "In-Reply-To: <plain@harbour.test>")


def headers() -> Made:
    refs = "\r\n ".join(f"<{n}@harbour.test>" for n in range(60))
    yield _of_text("long-references", "x\r\n", f"References: {refs}")
    yield _of_text("folded-subject", "x\r\n", subject="A subject\r\n that goes on\r\n\tand on")
    yield _of_text("encoded-words", "x\r\n", subject="=?utf-8?B?SGFmZW4gw7xiZXIgTmFjaHQ=?= =?iso-8859-1?Q?_gr=FC=DFt?=")
    yield _of_text(
        "encoded-words-split", "x\r\n", subject="=?utf-8?Q?caf=C3?=\r\n =?utf-8?Q?=A9?= and =?x-unknown?B?////?="
    )
    yield _of_text("encoded-words-broken", "x\r\n", subject="=?utf-8?B?no base64?= =?utf-8?Q?=ZZ?=")
    yield _of_text("group-addresses", "x\r\n", 'Cc: crew: a@b.test, "C, D" <c@d.test>;, nobody:;')
    yield _of_text("comments-in-addresses", "x\r\n", "Cc: (hi (nested)) e@f.test (Bob \\) there)")
    yield _of_text("quoted-local-part", "x\r\n", 'Cc: "odd \\"one\\" @ out"@g.test, <@r1.test,@r2.test:h@i.test>')
    yield "no-subject", head("no-subject").replace("Subject: no subject\r\n", "").encode() + b"\r\nx\r\n"
    yield _of_text("duplicate-fields", "x\r\n", "Subject: again", "To: bob@portyard.test", "Date: " + DATE)
    yield _of_text("many-headers", "x\r\n", *(f"X-Field-{n}: {n}" for n in range(500)))
    yield _of_text("long-header-field", "x\r\n", "X-Long: " + "word\r\n " * 2000 + "end")
    yield _of_text("empty-fields", "x\r\n", "X-Empty:", "Cc:", "Reply-To: ")
    yield _of_text(
        "list-mail",
        "x\r\n",
        "List-Id: Tides <tides.harbour.test>",
        "List-Unsubscribe: <https://harbour.test/u>, <mailto:u@harbour.test>",
        "Precedence: list",
        "Resent-From: list@harbour.test",
        "Resent-Date: " + DATE,
    )
    yield _of_text("utf8-header", "Grüße\r\n", subject="Grüße vom Hafen 港 🚢")
    yield _of_text("utf8-addresses", "x\r\n", "Cc: Søren <søren@hävn.test>")


def malformed() -> Made:
    yield _of_text("header-without-colon", "x\r\n", "this line is no header")
    yield _of_text("space-before-colon", "x\r\n", "X-Spaced : yes")
    yield "bad-date", text("bad-date", "x\r\n").replace(DATE.encode(), b"yesterday, about noon")
    yield _of_text("bad-addresses", "x\r\n", 'Cc: <<nobody>, @, a@@b, "open', "Reply-To: ;;;,")
    yield "latin1-in-header", text("latin1-in-header", "x\r\n", "X-Raw: caf?").replace(b"caf?", b"caf\xe9")
    yield "body-not-utf8", text("body-not-utf8", "?\r\n").replace(b"?\r\n", bytes(range(0x80, 0x100)) + b"\r\n")
    yield _of_part("unclosed-multipart", Part(multipart("mixed", "b1", PLAIN).fields, "--b1\r\n\r\nleft open\r\n"))
    yield _of_part("missing-boundary", Part(("Content-Type: multipart/mixed",), "no boundary was named\r\n"))
    yield _of_part("boundary-never-comes", Part(('Content-Type: multipart/mixed; boundary="zz"',), "text\r\n"))
    yield _of_part("empty-multipart", Part(('Content-Type: multipart/mixed; boundary="e"',), "--e--\r\n"))
    yield _of_part("bad-base64", leaf("text/plain", "@@@ not base64 @@@\r\n", "Content-Transfer-Encoding: base64"))
    yield _of_part("unknown-encoding", leaf("text/plain", "x\r\n", "Content-Transfer-Encoding: x-rot13"))
    yield _of_part("bad-content-type", Part(("Content-Type: ;;=broken/; charset",), "x\r\n"))
    yield _of_part(
        "boundary-prefix-of-another", multipart("mixed", "cut", leaf("text/plain", "--cutting\r\n--cut off\r\n"), PLAIN)
    )
    yield "starts-with-blank-fold", b" folded into nothing\r\n" + text("starts-with-blank-fold", "x\r\n")


def nested() -> Made:
    alternative = multipart("alternative", "alt", PLAIN, HTML)
    yield _of_part("alternative", alternative)
    image = attachment("image/png", "gull.png", 900, 3)
    yield _of_part("related", multipart("related", "rel", HTML, image))
    yield _of_part(
        "mixed-of-alternative",
        multipart("mixed", "mix", alternative, attachment("application/pdf", "plan.pdf", 5000, 4)),
    )
    deep: Part = PLAIN
    for level in range(30):
        deep = multipart("mixed", f"level-{level}", deep)
    yield _of_part("thirty-levels", deep)
    yield _of_part("hundred-parts", multipart("mixed", "hp", *(leaf("text/plain", f"{n}\r\n") for n in range(100))))
    inner = text("inner", "I am inside.\r\n").decode()
    forwarded = leaf("message/rfc822", inner)
    yield _of_part("forwarded", multipart("mixed", "fwd", PLAIN, forwarded))
    twice = leaf("message/rfc822", mime("forwarded-once", multipart("mixed", "in", PLAIN, forwarded)).decode())
    yield _of_part("forwarded-twice", multipart("mixed", "out", twice, PLAIN))
    yield _of_part("digest", multipart("digest", "dig", Part((), inner), Part((), inner)))
    yield _of_part(
        "preamble-and-epilogue",
        Part(alternative.fields, "This is for old readers.\r\n" + alternative.body + "And this after.\r\n"),
    )
    yield _of_part(
        "calendar",
        multipart(
            "alternative", "cal", PLAIN, leaf("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
        ),
    )
    yield _of_part(
        "apple-double", multipart("appledouble", "ad", attachment("application/applefile", "a", 300, 5), image)
    )


def encodings() -> Made:
    body = "Ein langer Satz über Möwen, der über die Zeile läuft und läuft und läuft, bis er endlich endet.\n"
    quoted = quopri.encodestring(body.encode()).decode().replace("\n", "\r\n")
    yield _of_part(
        "quoted-printable", leaf("text/plain; charset=utf-8", quoted, "Content-Transfer-Encoding: quoted-printable")
    )
    packed = base64.encodebytes(body.encode("utf-16")).decode().replace("\n", "\r\n")
    yield _of_part("base64-utf16", leaf("text/plain; charset=utf-16", packed, "Content-Transfer-Encoding: base64"))
    yield _of_part("eight-bit", PLAIN)
    koi = mime("koi8-r", leaf("text/plain; charset=koi8-r", "?\r\n", "Content-Transfer-Encoding: 8bit"))
    yield "koi8-r", koi.replace(b"?\r\n", "Причал номер три\r\n".encode("koi8-r"))
    jis = mime("iso-2022-jp", leaf("text/plain; charset=iso-2022-jp", "?\r\n", "Content-Transfer-Encoding: 7bit"))
    yield "iso-2022-jp", jis.replace(b"?\r\n", "港の朝\r\n".encode("iso-2022-jp"))
    yield _of_part(
        "rfc2231-filename",
        multipart(
            "mixed",
            "p",
            leaf(
                "application/octet-stream",
                encoded(100, 6),
                "Content-Disposition: attachment; filename*0*=utf-8''%e2%82%ac%20; filename*1=rates.csv",
                "Content-Transfer-Encoding: base64",
            ),
        ),
    )
    yield _of_text("uuencoded", "begin 644 gull.txt\r\n#0V%T\r\n`\r\nend\r\n")
    yield _of_part(
        "content-language-and-location",
        leaf(
            "text/plain",
            "x\r\n",
            "Content-Language: de, en",
            "Content-Location: https://harbour.test/x",
            "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
            "Content-Description: A note",
        ),
    )


def secured() -> Made:
    signature = attachment("application/pkcs7-signature", "smime.p7s", 3000, 7)
    yield _of_part(
        "smime-signed",
        _signed(multipart("signed", "sm", PLAIN, signature), 'protocol="application/pkcs7-signature"; micalg=sha-256'),
    )
    yield _of_part("smime-opaque", attachment("application/pkcs7-mime; smime-type=signed-data", "smime.p7m", 6000, 8))
    yield _of_part(
        "smime-encrypted", attachment("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m", 9000, 9)
    )
    armour = "-----BEGIN PGP SIGNATURE-----\r\n\r\n" + encoded(200, 10) + "=abcd\r\n-----END PGP SIGNATURE-----\r\n"
    pgp = multipart("signed", "pg", PLAIN, leaf('application/pgp-signature; name="signature.asc"', armour))
    yield _of_part("pgp-signed", _signed(pgp, 'protocol="application/pgp-signature"; micalg=pgp-sha512'))
    secret = armour.replace("SIGNATURE", "MESSAGE")
    yield _of_part(
        "pgp-encrypted",
        multipart(
            "encrypted",
            "pe",
            leaf("application/pgp-encrypted", "Version: 1\r\n"),
            leaf("application/octet-stream", secret),
        ),
    )
    yield _of_text("pgp-inline", "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\n- --dash\r\n" + armour)
    yield _of_text(
        "dkim-signed",
        "x\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256; d=harbour.test; s=a;\r\n\th=from:to; bh="
        + "A" * 43
        + "=;\r\n\tb="
        + "B" * 170,
    )


def _signed(part: Part, more: str) -> Part:
    return Part((f"{part.fields[0]}; {more}", *part.fields[1:]), part.body)


def reports() -> Made:
    status = "Reporting-MTA: dns; mx.harbour.test\r\n\r\nFinal-Recipient: rfc822; x@y.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    yield _of_part(
        "delivery-report",
        multipart(
            "report", "rp", PLAIN, leaf("message/delivery-status", status), leaf("text/rfc822-headers", head("lost"))
        ),
    )
    receipt = "Final-Recipient: rfc822; x@y.test\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"
    yield _of_part("read-receipt", multipart("report", "rr", PLAIN, leaf("message/disposition-notification", receipt)))
    yield _of_part("partial", leaf('message/partial; id="a@b"; number=1; total=2', "half of\r\n"))
    yield _of_part(
        "external-body",
        leaf('message/external-body; access-type=URL; URL="https://h.test"', "Content-Type: image/png\r\n\r\n"),
    )


MAKERS = (plain, headers, malformed, nested, encodings, secured, reports)

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from portyard.commons.tls.authority import Authority, AuthorityError
from portyard.commons.tls.recipes import RECIPES, Manner

DAY = 86_400.0


def leaf_of(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(path: Path) -> set[str]:
    names = leaf_of(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName)) | {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}


def test_the_leaf_names_what_was_asked_and_localhost(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, ["mta", "*.portyard.test"])
    chain, key = authority.certificate_paths()
    assert names_of(chain) == {"localhost", "127.0.0.1", "::1", "mta", "*.portyard.test"}
    assert authority.ca_pem == (tmp_path / "ca.pem").read_bytes() == authority.ca_path.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.ca_path.stat().st_mode) & 0o444 == 0o444 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_certificates_say_what_rfc_5280_wants(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, [])
    ca, leaf = leaf_of(authority.ca_path), leaf_of(authority.certificate_paths().chain)
    for certificate, is_ca in ((ca, True), (leaf, False)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical
        assert usage.critical
        assert constraints.value.ca is usage.value.key_cert_sign is is_ca
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == ski
    usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert lifetime.days <= 398
    assert leaf.not_valid_before_utc.timestamp() <= time.time() - DAY + 60


def test_opened_again_nothing_is_made(tmp_path: Path) -> None:
    Authority.open(tmp_path, ["mta"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    Authority.open(tmp_path, ["mta"]).context()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_opening_what_is_there_imports_no_cryptography(tmp_path: Path) -> None:
    Authority.open(tmp_path, [])
    script = (
        "import sys; from pathlib import Path; from portyard.commons.tls.authority import Authority;"
        "import portyard.commons.tls.layer;"
        "Authority.open(Path(sys.argv[1]), []).context();"
        "assert not {'cryptography', 'OpenSSL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)


def test_more_names_make_the_leaf_again_under_the_same_ca_and_key(tmp_path: Path) -> None:
    first = Authority.open(tmp_path, ["mta"])
    key = first.certificate_paths().key.read_bytes()
    second = Authority.open(tmp_path, ["imap"])
    assert names_of(second.certificate_paths().chain) >= {"mta", "imap", "localhost"}
    assert second.ca_pem == first.ca_pem
    assert second.certificate_paths().key.read_bytes() == key
    second.add_names(["t1.test"])
    kept = second.context()
    assert "t1.test" in names_of(second.certificate_paths().chain)
    second.add_names(["t1.test"])
    assert second.context() is kept


def test_contexts_are_kept_per_recipe_and_alpn(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, [])
    assert authority.context("good") is authority.context("good")
    assert authority.context("good") is not authority.context("good", ("h2",))
    assert authority.context("good") is not authority.context("tls12_only")
    assert authority.certificate_paths("tls12_only") == authority.certificate_paths("good")
    with pytest.raises(KeyError):
        authority.context("no_such_recipe")


def test_an_old_leaf_is_made_again(tmp_path: Path) -> None:
    now = [time.time()]
    authority = Authority.open(tmp_path, [], now=lambda: now[0])
    context, leaf = authority.context(), leaf_of(authority.certificate_paths().chain)
    now[0] += 364 * DAY
    assert authority.context() is context
    now[0] += 2 * DAY
    assert authority.context() is not context
    again = leaf_of(authority.certificate_paths().chain)
    assert again.serial_number != leaf.serial_number
    assert again.not_valid_after_utc.timestamp() > now[0] + 390 * DAY


def test_a_clock_that_was_set_back_makes_the_leaf_again(tmp_path: Path) -> None:
    Authority.open(tmp_path, [], now=lambda: time.time() + 100 * DAY)
    authority = Authority.open(tmp_path, [])
    assert leaf_of(authority.certificate_paths().chain).not_valid_before_utc.timestamp() < time.time()


def test_a_new_ca_signs_the_leaf_again(tmp_path: Path) -> None:
    old = Authority.open(tmp_path, [])
    (tmp_path / "ca.pem").unlink()
    new = Authority.open(tmp_path, [])
    assert new.ca_pem != old.ca_pem
    leaf_of(new.certificate_paths().chain).verify_directly_issued_by(leaf_of(new.ca_path))


def test_processes_that_start_at_once_make_one_ca(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from portyard.commons.tls.authority import Authority;"
        "a = Authority.open(Path(sys.argv[1]) / 'deep' / 'tls', [sys.argv[2]]); a.context(); a.context('self_signed');"
        "sys.stdout.buffer.write(a.ca_pem)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path, f"n{number}"], stdout=subprocess.PIPE)
        for number in range(6)
    ]
    printed = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 6
    assert printed == {(tmp_path / "deep" / "tls" / "ca.pem").read_bytes()}
    assert names_of(tmp_path / "deep" / "tls" / "good.pem") >= {f"n{number}" for number in range(6)}


def test_half_a_ca_is_explained(tmp_path: Path) -> None:
    Authority.open(tmp_path, [])
    (tmp_path / "ca.key").unlink()
    Authority.open(tmp_path, [])  # nothing to be made, so nothing to complain about
    with pytest.raises(AuthorityError, match=r"ca\.key.*remove"):
        Authority.open(tmp_path, ["another"])


def test_a_broken_ca_key_is_explained(tmp_path: Path) -> None:
    Authority.open(tmp_path, [])
    (tmp_path / "ca.key").write_bytes(b"not a key")
    with pytest.raises(AuthorityError, match="start over"):
        Authority.open(tmp_path, ["another"])


def test_a_directory_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("in the way")
    with pytest.raises(AuthorityError, match=r"tls"):
        Authority.open(tmp_path / "tls", [])


def test_a_spoilt_note_only_makes_the_leaf_again(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, ["mta"])
    chain = authority.certificate_paths().chain
    chain.write_bytes(b"# portyard {}\n" + chain.read_bytes())
    assert names_of(Authority.open(tmp_path, ["mta"]).certificate_paths().chain) >= {"mta"}


@pytest.mark.parametrize("recipe", sorted(name for name, each in RECIPES.items() if each.manner is Manner.TLS))
def test_every_recipe_makes_a_context_whose_files_belong_together(authority: Authority, recipe: str) -> None:
    context = authority.context(recipe)
    assert context.verify_mode == RECIPES[recipe].client_certificate.value
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    probe.set_ciphers("DEFAULT:@SECLEVEL=0")
    probe.load_cert_chain(*authority.certificate_paths(recipe))


@pytest.mark.parametrize("recipe", ["plaintext", "stalled"])
def test_no_context_stands_for_an_answer_that_is_no_tls(authority: Authority, recipe: str) -> None:
    with pytest.raises(ValueError, match=f"{recipe} answers no ClientHello"):
        authority.context(recipe)


def test_a_context_is_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, [])
    assert authority.ready_context("tls13_only") is None
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: authority.context("tls13_only"), range(8)))
    assert made == {authority.ready_context("tls13_only")}


def test_a_new_name_makes_a_context_wait_for_its_leaf(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, [])
    before = authority.context()
    authority.add_names(["later.test"])
    assert authority.ready_context() is None
    assert authority.context() is not before
    assert "later.test" in names_of(authority.certificate_paths().chain)

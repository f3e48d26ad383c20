"""Both clients, on both event loops: one suite, so that an operator may change from one to the other and notice nothing."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatewayz.infra.aiohttp_client import AiohttpTransport
from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import STALE_WINDOW_S, Broken, Reply, Timeouts, Transport

SECRET = "sk-very-secret"
USUAL = Timeouts(5.0, 20.0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[Http1Transport, AiohttpTransport], ids=["http1", "aiohttp"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = request.param()
    yield made
    await made.close()


@pytest.fixture
async def http1() -> AsyncIterator[Http1Transport]:
    made = Http1Transport()
    yield made
    await made.close()


async def ask(transport: Transport, url: str, body: bytes = b"{}", timeouts: Timeouts = USUAL) -> Reply:
    return await transport.post(url, {"Authorization": f"Bearer {SECRET}"}, body, timeouts)


async def chunks_of(reply: Reply) -> bytes:
    parts = []
    while part := await reply.next_chunk():
        parts.append(part)
    assert await reply.next_chunk() == b""
    return b"".join(parts)


async def within_the_window(turn: Callable[[], Awaitable[None]]) -> None:
    """Runs a test about the window of the retry; again if this machine was too busy to stay within it."""
    loop = asyncio.get_running_loop()
    late_s = 0.0

    async def watch() -> None:
        nonlocal late_s
        while True:
            before_s = loop.time()
            await asyncio.sleep(0.01)
            late_s = max(late_s, loop.time() - before_s)

    for left in reversed(range(10)):
        late_s = 0.0
        watching = asyncio.create_task(watch())
        try:
            await turn()
        except (Broken, AssertionError):
            if late_s < STALE_WINDOW_S / 4 or not left:
                raise
        else:
            return
        finally:
            watching.cancel()


@dataclass(frozen=True)
class Authority:
    """A certificate authority that lives for one run."""

    path: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    home: Path

    def server(self, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        certificate = (
            _builder("server", self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.home / f"{'-'.join(names).replace(':', '_')}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context


def _builder(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    home = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder("throwaway authority", None, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = home / "ca.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(path, key, certificate, home)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, believed by whatever opens a trust store from now on."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority

"""Which client calls the providers."""

import subprocess
import sys

import pytest

from gatewayz.infra.aiohttp_client import AiohttpTransport
from gatewayz.infra.http1 import Http1Transport
from gatewayz.settings import Settings, read_settings
from gatewayz.wiring.house import choose_transport


def test_the_own_client_unless_there_is_a_reason() -> None:
    assert isinstance(choose_transport(Settings(), {"HTTPS_PROXY": ""}), Http1Transport)
    assert isinstance(choose_transport(Settings(http_client="aiohttp"), {}), AiohttpTransport)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_needs_aiohttp(name: str) -> None:
    chosen = choose_transport(Settings(), {name: "http://proxy:3128"})
    assert isinstance(chosen, AiohttpTransport) and chosen._use_proxy_variables


def test_the_setting_has_two_values() -> None:
    settings, _, mistakes, _ = read_settings({"http_client": "aiohttp"}, {})
    assert settings.http_client == "aiohttp" and not mistakes
    mistakes = read_settings({}, {"GATEWAYZ_HTTP_CLIENT": "httpx"})[2]
    assert "auto, aiohttp" in str(mistakes[0])


def test_aiohttp_is_not_loaded_where_it_is_not_used() -> None:
    code = "import sys, gatewayz.wiring.house; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""How do we speak to an upstream? Profiles, credentials, failures; one file of facts per provider."""

from gatewayz.providers.client import Upstreams
from gatewayz.providers.config import ConfiguredProvider, read_providers
from gatewayz.providers.failures import Failure, FailureKind, classify
from gatewayz.providers.profile import BreakerOverrides, Profile, Provider, load_profiles
from gatewayz.providers.registry import DEFAULT_CHAIN, Providers, build_providers
from gatewayz.providers.simulated import SIMULATED_MODELS, Simulated, SimulatedModel, simulated_wanted

__all__ = [
    "DEFAULT_CHAIN",
    "SIMULATED_MODELS",
    "BreakerOverrides",
    "ConfiguredProvider",
    "Failure",
    "FailureKind",
    "Profile",
    "Provider",
    "Providers",
    "Simulated",
    "SimulatedModel",
    "Upstreams",
    "build_providers",
    "classify",
    "load_profiles",
    "read_providers",
    "simulated_wanted",
]

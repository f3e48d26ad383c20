"""Public registration: an account, its first key and the trial, made together or not at all."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AliasChoices, BaseModel, Field

from gatewayz.accounts import audit, emails, keys, users
from gatewayz.api.auth import current_caller, house_of, origin_of, show_limit
from gatewayz.api.models import EmailText, Name
from gatewayz.api.views import user_view
from gatewayz.core.caller import Caller
from gatewayz.core.errors import Forbidden, InvalidRequest, Unauthenticated
from gatewayz.core.money import credits_number, usd_number

_FIRST_KEY_NAME = "Default"


class Registration(BaseModel):
    """Body of a registration."""

    username: Name
    email: EmailText
    auth_method: Literal["email", "privy", "google", "github", "phone"] = "email"
    environment: Annotated[
        Literal["live", "test", "staging", "dev"],
        Field(validation_alias=AliasChoices("environment", "environment_name", "environment_tag")),
    ] = "live"


def router() -> APIRouter:
    """The route of the public registration."""
    routes = APIRouter(tags=["Registration"])
    routes.post("/admin/create")(register)
    return routes


async def _registrar(request: Request, response: Response) -> audit.Origin:
    """Who registers: an administrator, or a stranger, whose address may do so a few times an hour."""
    admin = await _administrator(request)
    if admin is None:
        house = house_of(request)
        limit = house.settings.registrations_per_hour
        state = await house.limiter.admit_named("registration", request.state.client_ip, limit, 3600)
        show_limit(request, response, state)
    return origin_of(request, admin)


async def _administrator(request: Request) -> Caller | None:
    """The caller if a valid administrator's key was sent; any other key makes nobody more or less than a stranger."""
    try:
        caller = await current_caller(request)
    except (Unauthenticated, Forbidden):
        return None
    return caller if caller.is_admin else None


async def register(
    request: Request, body: Registration, origin: Annotated[audit.Origin, Depends(_registrar)]
) -> dict[str, Any]:
    """The new account with its first key in plain text (shown once), its trial and its balance."""
    house = house_of(request)
    now_us = house.clock.now_us()
    email = emails.read_email(body.email)
    if emails.is_disposable(email, house.settings.disposable_domains):
        raise InvalidRequest(
            f"Addresses at {email.domain} are thrown away after use; register with a lasting one.",
            code="disposable_email",
            param="email",
        )
    async with house.database.begin() as connection:
        user = await users.create(
            connection,
            username=body.username,
            email=email,
            auth_method=body.auth_method,
            environment=body.environment,
            origin=origin,
            now_us=now_us,
        )
        opened = await house.billing.open_account(connection, user.id, now_us, trial=True)
        await users.set_trial_end(connection, user.id, opened.trial_ends_at_us, now_us)
        issued = await keys.create(
            connection,
            house.ring,
            user.id,
            body.environment,
            keys.KeySettings(_FIRST_KEY_NAME),
            origin,
            now_us,
        )
        user = await users.get(connection, user.id)
    house.feed.tell("key", str(issued.key.id))
    return user_view(user, now_us) | {
        "api_key": issued.secret,
        "key_id": issued.key.id,
        "balance_usd": usd_number(opened.balance_nano_usd),
        "credits": credits_number(opened.balance_nano_usd),
    }

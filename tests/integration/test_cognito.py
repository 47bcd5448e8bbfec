"""People of a user pool, as Cognito's own API makes them and signs for them."""

from dataclasses import dataclass
from typing import Any, Final

import pytest

from iops import clock
from iops.auth import Caller, Role
from iops.errors import Forbidden, Unauthenticated
from iops.observability import Metrics
from iops.people import open_people
from iops.settings import ServiceSettings
from tests.integration.stand_ins import Cloud

PASSWORD: Final = "Not-a-secret-1"
EMAIL: Final = "ann@example.com"


@dataclass(frozen=True, slots=True)
class Pool:
    """A user pool with one client and one user, ann."""

    cloud: Cloud
    pool_id: str
    client_id: str

    async def call(self, operation: str, **parameters: Any) -> Any:
        return await self.cloud.call("cognito-idp", operation, UserPoolId=self.pool_id, **parameters)

    async def join(self, group: str) -> None:
        await self.call("create_group", GroupName=group)
        await self.call("admin_add_user_to_group", GroupName=group, Username="ann")

    async def tokens(self) -> dict[str, str]:
        """Of ann, who has just signed in."""
        signed_in = await self.call(
            "admin_initiate_auth",
            ClientId=self.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ann", "PASSWORD": PASSWORD},
        )
        found: dict[str, str] = signed_in["AuthenticationResult"]
        return found

    async def caller_of(self, token: str) -> Caller:
        """By a service that trusts this pool; the stand-in signs with AWS's name and keeps its keys at its own."""
        settings = ServiceSettings(
            issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{self.pool_id}",
            jwks_url=f"{self.cloud.endpoint_url}/{self.pool_id}/.well-known/jwks.json",
            client_ids=(self.client_id,),
        )
        async with open_people(settings, clock.now, Metrics()) as people:
            assert people is not None
            return await people.caller_of(token)


@pytest.fixture
async def pool(cloud: Cloud) -> Pool:
    return await a_pool(cloud)


async def a_pool(cloud: Cloud) -> Pool:
    made = await cloud.call("cognito-idp", "create_user_pool", PoolName="people")
    pool_id = made["UserPool"]["Id"]
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    made = await cloud.call(
        "cognito-idp", "create_user_pool_client", UserPoolId=pool_id, ClientName="web", ExplicitAuthFlows=flows
    )
    pool = Pool(cloud, pool_id, made["UserPoolClient"]["ClientId"])
    attributes = [{"Name": "email", "Value": EMAIL}, {"Name": "email_verified", "Value": "true"}]
    await pool.call("admin_create_user", Username="ann", UserAttributes=attributes, MessageAction="SUPPRESS")
    await pool.call("admin_set_user_password", Username="ann", Password=PASSWORD, Permanent=True)
    return pool


async def test_somebody_who_signed_in_has_the_role_of_their_group(pool: Pool) -> None:
    await pool.join("operator")
    tokens = await pool.tokens()

    assert await pool.caller_of(tokens["IdToken"]) == Caller(EMAIL, Role.OPERATOR)
    assert await pool.caller_of(tokens["AccessToken"]) == Caller("ann", Role.OPERATOR)


async def test_somebody_who_is_in_no_group_may_not_come_in(pool: Pool) -> None:
    tokens = await pool.tokens()

    with pytest.raises(Forbidden):
        await pool.caller_of(tokens["AccessToken"])


async def test_the_token_that_renews_others_opens_nothing(pool: Pool) -> None:
    await pool.join("admin")
    tokens = await pool.tokens()

    with pytest.raises(Unauthenticated):
        await pool.caller_of(tokens["RefreshToken"])


async def test_an_admin_of_another_pool_is_nobody_here(pool: Pool) -> None:
    other = await a_pool(pool.cloud)
    await other.join("admin")
    tokens = await other.tokens()

    with pytest.raises(Unauthenticated):
        await pool.caller_of(tokens["IdToken"])

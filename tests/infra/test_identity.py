"""The user pool and its one client."""

from typing import Any

import pytest

from infra.config import Config
from infra.identity import CALLBACK, GROUPS, Identity
from iops.people import ROLES
from services.insights.session import hosted_ui
from tests.infra.declared import ACCOUNT, REGION, Stack, declare

CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/7f2c"
PROD = Config(environment="prod", certificate_arn=CERTIFICATE, alert_emails=("ann@example.com",))


def identity(config: Config) -> Stack:
    def program() -> Any:
        made = Identity(config, "https://iops.example.com/")
        return {"issuer": made.issuer, "client_id": made.client_id, "pages": made.hosted_ui_url}

    return declare(program)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return identity(PROD)


def test_nobody_makes_an_account_of_their_own(stack: Stack) -> None:
    pool = stack.one("aws:cognito/userPool:UserPool").inputs

    assert pool["adminCreateUserConfig"] == {"allowAdminCreateUserOnly": True}
    assert pool["usernameAttributes"] == ["email"]
    assert pool["mfaConfiguration"] == "OPTIONAL"
    assert pool["softwareTokenMfaConfiguration"] == {"enabled": True}
    assert pool["passwordPolicy"]["minimumLength"] == 14
    assert pool["userPoolTier"] == "LITE"
    assert "userPoolAddOns" not in pool  # threat protection costs $0.05 a person


def test_prods_people_cannot_be_deleted(stack: Stack) -> None:
    assert stack.one("aws:cognito/userPool:UserPool").inputs["deletionProtection"] == "ACTIVE"
    assert identity(Config()).one("aws:cognito/userPool:UserPool").inputs["deletionProtection"] == "INACTIVE"


def test_the_client_has_no_secret_and_takes_no_password(stack: Stack) -> None:
    client = stack.one("aws:cognito/userPoolClient:UserPoolClient").inputs

    assert client["generateSecret"] is False
    assert client["allowedOauthFlows"] == ["code"]
    assert client["explicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert client["preventUserExistenceErrors"] == "ENABLED"
    assert (client["idTokenValidity"], client["accessTokenValidity"]) == (60, 15)
    assert client["tokenValidityUnits"]["idToken"] == client["tokenValidityUnits"]["accessToken"] == "minutes"


def test_codes_go_where_the_dashboard_takes_them(stack: Stack) -> None:
    client = stack.one("aws:cognito/userPoolClient:UserPoolClient").inputs

    assert client["callbackUrls"] == ["https://iops.example.com/session/callback"]
    assert client["logoutUrls"] == ["https://iops.example.com/"]
    assert hosted_ui.CALLBACK == CALLBACK
    assert client["allowedOauthScopes"] == hosted_ui.SCOPES.split()


def test_the_groups_are_the_services_roles(stack: Stack) -> None:
    groups = {each.inputs["name"]: each.inputs["precedence"] for each in stack.all("aws:cognito/userGroup:UserGroup")}

    assert groups == {"admin": 1, "operator": 2, "viewer": 3}
    assert [group for group, _ in GROUPS] == [role.value for role in ROLES]


def test_services_are_told_who_signs_and_where_people_sign_in(stack: Stack) -> None:
    assert stack.result == {
        "issuer": f"https://cognito-idp.{REGION}.amazonaws.com/{REGION}_iops-dashboard",
        "client_id": "dashboard-id",
        "pages": f"https://iops-dashboard-prod-{ACCOUNT}.auth.{REGION}.amazoncognito.com",
    }


def test_over_plain_http_there_is_no_sign_in_page() -> None:
    stack = identity(Config())

    assert stack.result["pages"] is None
    assert stack.all("aws:cognito/userPoolDomain:UserPoolDomain") == []
    assert "callbackUrls" not in stack.one("aws:cognito/userPoolClient:UserPoolClient").inputs

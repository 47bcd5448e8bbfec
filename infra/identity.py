"""Who signs in: a user pool with the three groups, its sign-in pages, and the one client that may use them."""

from __future__ import annotations

from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.config import Config

CALLBACK: Final = "/session/callback"  # where the insights service takes the code
TOKEN_MINUTES: Final = 60  # how long a browser is signed in, since the id token is its session
ACCESS_MINUTES: Final = 15  # nothing of ours asks with one longer
REFRESH_HOURS: Final = 2  # nothing of ours uses one; Cognito wants it to outlive the others
PASSWORD_LENGTH: Final = 14
INVITATION_DAYS: Final = 3
GROUPS: Final = (  # by precedence
    ("admin", "does everything, keys included"),
    ("operator", "acknowledges, silences, gives feedback"),
    ("viewer", "reads"),
)


class Identity(pulumi.ComponentResource):
    """Cognito's Lite tier: free for 10,000 people who sign in within a month; its threat protection would cost more.

    Over plain HTTP there is no sign-in page, since Cognito sends its codes over HTTPS only: `hosted_ui_url` is None,
    and people come by `iops open`.
    """

    pool_id: pulumi.Output[str]
    issuer: pulumi.Output[str]
    client_id: pulumi.Output[str]
    hosted_ui_url: pulumi.Output[str] | None

    def __init__(
        self, config: Config, public_url: pulumi.Input[str], *, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("iops:identity:Identity", "identity", None, opts)
        pool = self._pool(config)
        child = pulumi.ResourceOptions(parent=self)
        for precedence, (group, description) in enumerate(GROUPS, start=1):
            aws.cognito.UserGroup(
                group, name=group, description=description, precedence=precedence, user_pool_id=pool.id, opts=child
            )
        self.pool_id = pool.id
        self.issuer = pool.endpoint.apply(lambda endpoint: f"https://{endpoint}")
        has_pages = config.certificate_arn is not None
        self.client_id = self._client(pool, public_url if has_pages else None).id
        self.hosted_ui_url = self._pages(pool, config) if has_pages else None
        self.register_outputs({"pool_id": self.pool_id, "issuer": self.issuer, "client_id": self.client_id})

    def _pool(self, config: Config) -> aws.cognito.UserPool:
        return aws.cognito.UserPool(
            "people",
            name="iops-dashboard",
            user_pool_tier="LITE",
            username_attributes=["email"],
            username_configuration={"case_sensitive": False},
            auto_verified_attributes=["email"],
            admin_create_user_config={"allow_admin_create_user_only": True},
            account_recovery_setting={"recovery_mechanisms": [{"name": "verified_email", "priority": 1}]},
            mfa_configuration="OPTIONAL",
            software_token_mfa_configuration={"enabled": True},
            password_policy={
                "minimum_length": PASSWORD_LENGTH,
                "require_lowercase": True,
                "require_uppercase": True,
                "require_numbers": True,
                "require_symbols": False,  # length does more, and phrases are remembered
                "temporary_password_validity_days": INVITATION_DAYS,
            },
            # A changed address counts once its owner has confirmed it.
            user_attribute_update_settings={"attributes_require_verification_before_updates": ["email"]},
            deletion_protection="ACTIVE" if config.is_kept else "INACTIVE",
            opts=pulumi.ResourceOptions(parent=self, protect=config.is_kept),
        )

    def _client(self, pool: aws.cognito.UserPool, public_url: pulumi.Input[str] | None) -> aws.cognito.UserPoolClient:
        """A public one with PKCE: it has no secret, and passwords are typed into the pool's own pages only."""
        pages: dict[str, Any] = {}
        if public_url is not None:
            origin = pulumi.Output.from_input(public_url).apply(lambda url: url.rstrip("/"))
            pages = {
                "allowed_oauth_flows_user_pool_client": True,
                "allowed_oauth_flows": ["code"],
                "allowed_oauth_scopes": ["openid", "email"],
                "supported_identity_providers": ["COGNITO"],
                "callback_urls": [origin.apply(lambda url: url + CALLBACK)],
                "logout_urls": [origin.apply(lambda url: url + "/")],
            }
        return aws.cognito.UserPoolClient(
            "dashboard",
            name="iops-dashboard",
            user_pool_id=pool.id,
            generate_secret=False,
            explicit_auth_flows=["ALLOW_REFRESH_TOKEN_AUTH"],  # none that takes a password; left out, Cognito adds SRP
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            id_token_validity=TOKEN_MINUTES,
            access_token_validity=ACCESS_MINUTES,
            refresh_token_validity=REFRESH_HOURS,
            token_validity_units={"id_token": "minutes", "access_token": "minutes", "refresh_token": "hours"},
            read_attributes=["email", "email_verified"],
            write_attributes=["email"],  # of what one may change of oneself; groups are no attribute
            opts=pulumi.ResourceOptions(parent=self),
            **pages,
        )

    def _pages(self, pool: aws.cognito.UserPool, config: Config) -> pulumi.Output[str]:
        """The name before amazoncognito.com is one for all customers of the region, so it has the account in it."""
        account_id = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        domain = aws.cognito.UserPoolDomain(
            "pages",
            domain=account_id.apply(lambda account: f"iops-dashboard-{config.environment}-{account}"),
            user_pool_id=pool.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return domain.domain.apply(lambda name: f"https://{name}.auth.{config.region}.amazoncognito.com")

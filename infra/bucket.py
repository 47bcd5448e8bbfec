"""The bucket: models that the endpoint loads, and exports that models are trained on."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_aws as aws

from infra.config import Config
from infra.policy import deny_unencrypted, document

MODELS: Final = "models/"  # kept: an endpoint that starts again loads its own
EXPORTS: Final = "exports/"
EXPORT_KEPT_DAYS: Final = 90
OLD_VERSION_KEPT_DAYS: Final = 30
PARTS_KEPT_DAYS: Final = 7  # of an upload that broke off, which are paid for and seen by nobody


class Bucket(pulumi.ComponentResource):
    """Private, versioned, encrypted with S3's own key. $0.023 a GB and month: a model is 2 MB."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, config: Config, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("iops:bucket:Bucket", "bucket", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account_id = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(parent=self)).account_id
        bucket = aws.s3.Bucket(
            "models",
            bucket=account_id.apply(lambda account: f"iops-dashboard-{config.environment}-{account}-{config.region}"),
            force_destroy=not config.is_kept,
            opts=pulumi.ResourceOptions(parent=self, protect=config.is_kept),
        )
        self.name, self.arn = bucket.bucket, bucket.arn
        self._keep(bucket)
        private = aws.s3.BucketPublicAccessBlock(
            "private",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        everything = bucket.arn.apply(lambda arn: f"{arn}/*")
        aws.s3.BucketPolicy(
            "tls",
            bucket=bucket.id,
            policy=document(deny_unencrypted("s3:*", [bucket.arn, everything])),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[private]),  # S3 refuses two such changes at once
        )
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _keep(self, bucket: aws.s3.Bucket) -> None:
        """How, and for how long."""
        child = pulumi.ResourceOptions(parent=self)
        aws.s3.BucketServerSideEncryptionConfiguration(
            "encrypted",
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            "versioned", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        aws.s3.BucketLifecycleConfiguration(
            "lifecycle",
            bucket=bucket.id,
            rules=[
                {
                    "id": "exports-end",
                    "status": "Enabled",
                    "filter": {"prefix": EXPORTS},
                    "expiration": {"days": EXPORT_KEPT_DAYS},
                },
                {
                    "id": "what-was-replaced-ends",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSION_KEPT_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": PARTS_KEPT_DAYS},
                },
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )

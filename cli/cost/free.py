"""The Pulumi types that cost nothing by themselves, each because AWS asks nothing for it."""

from __future__ import annotations

from typing import Final

_BY_SERVICE: Final = {
    "appautoscaling": ("target:Target",),
    "budgets": ("budget:Budget",),  # only budgets with actions cost, from the third on
    "cloudwatch": (
        "eventBusPolicy:EventBusPolicy",
        "eventRule:EventRule",
        "eventTarget:EventTarget",
    ),
    "cognito": (
        "managedLoginBranding:ManagedLoginBranding",
        "resourceServer:ResourceServer",
        "userGroup:UserGroup",
        "userPoolClient:UserPoolClient",
        "userPoolDomain:UserPoolDomain",
    ),
    "costexplorer": ("costAllocationTag:CostAllocationTag",),
    "ec2": (
        "defaultSecurityGroup:DefaultSecurityGroup",
        "egressOnlyInternetGateway:EgressOnlyInternetGateway",
        "internetGateway:InternetGateway",
        "route:Route",
        "routeTable:RouteTable",
        "routeTableAssociation:RouteTableAssociation",
        "securityGroup:SecurityGroup",
        "securityGroupRule:SecurityGroupRule",
        "subnet:Subnet",
        "vpc:Vpc",
        "vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
    ),
    "ecr": ("lifecyclePolicy:LifecyclePolicy", "repositoryPolicy:RepositoryPolicy"),
    "ecs": (
        "clusterCapacityProviders:ClusterCapacityProviders",
        "taskDefinition:TaskDefinition",
    ),
    "iam": (
        "policy:Policy",
        "role:Role",
        "rolePolicy:RolePolicy",
        "rolePolicyAttachment:RolePolicyAttachment",
    ),
    "kms": ("alias:Alias",),
    "lambda": ("function:Function", "permission:Permission"),  # a rotation a month: less than a cent
    "lb": ("listener:Listener", "listenerRule:ListenerRule", "targetGroup:TargetGroup"),
    "s3": (
        "bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "bucketOwnershipControls:BucketOwnershipControls",
        "bucketPolicy:BucketPolicy",
        "bucketPublicAccessBlock:BucketPublicAccessBlock",
        "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "bucketVersioning:BucketVersioning",
    ),
    "sagemaker": ("endpoint:Endpoint", "model:Model"),  # their configuration says what costs
    "secretsmanager": (
        "secretPolicy:SecretPolicy",
        "secretRotation:SecretRotation",
        "secretVersion:SecretVersion",
    ),
    "sns": ("topicPolicy:TopicPolicy", "topicSubscription:TopicSubscription"),
    "sqs": ("queuePolicy:QueuePolicy", "redriveAllowPolicy:RedriveAllowPolicy", "redrivePolicy:RedrivePolicy"),
    "ssm": ("parameter:Parameter",),  # of the standard tier
    "vpc": (
        "securityGroupEgressRule:SecurityGroupEgressRule",
        "securityGroupIngressRule:SecurityGroupIngressRule",
    ),
    "wafv2": ("webAclAssociation:WebAclAssociation",),
}

FREE: Final = frozenset(f"aws:{service}/{kind}" for service, kinds in _BY_SERVICE.items() for kind in kinds)

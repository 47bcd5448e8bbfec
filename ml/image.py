"""Where AWS keeps the managed XGBoost container, by region."""

from __future__ import annotations

from typing import Final

# 3.2-0 carries XGBoost 3.2.0, Python 3.12 and numpy 2.1. 3.0-5 and older must not be used: XGBoost before 3.1 loads
# what 3.1 and later write without a word, and then answers with other numbers (the base score is lost).
TAG: Final = "3.2-0"

# https://github.com/aws/sagemaker-python-sdk, sagemaker-core/src/sagemaker/core/image_uri_config/xgboost.json
ACCOUNTS: Final = {
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-south-1": "720646828776",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ca-central-1": "341280168497",
    "eu-central-1": "492215442770",
    "eu-north-1": "662702820516",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}


class UnknownRegion(Exception):
    """A region whose registry is not listed here."""


def xgboost_image(region: str) -> str:
    """The container's address in `region`. Raises UnknownRegion.

    >>> xgboost_image("eu-central-1")
    '492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0'
    """
    if region not in ACCOUNTS:
        raise UnknownRegion(f"the XGBoost container's registry in {region} is not known here; give --image-uri")
    return f"{ACCOUNTS[region]}.dkr.ecr.{region}.amazonaws.com/sagemaker-xgboost:{TAG}"

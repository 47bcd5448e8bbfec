"""`python -m services.insights`: the service, told everything by IOPS_* variables."""

from iops.serve import serve
from services.insights.app import create_app
from services.insights.settings import InsightsSettings

if __name__ == "__main__":
    serve(create_app, InsightsSettings)

"""`python -m services.alerts`: the service, told everything by IOPS_* variables."""

from iops.serve import serve
from services.alerts.app import create_app
from services.alerts.settings import AlertsSettings

if __name__ == "__main__":
    serve(create_app, AlertsSettings)

"""`python -m services.ingest`: the service, told everything by IOPS_* variables."""

from iops.serve import serve
from services.ingest.app import create_app
from services.ingest.settings import IngestSettings

if __name__ == "__main__":
    serve(create_app, IngestSettings)

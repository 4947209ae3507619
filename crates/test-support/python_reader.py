"""Downloads one blob whole with Microsoft's Python client, for src/python_reader.rs.

python_reader.py CONTAINER BLOB FILE; the connection string, or the service's URL with a shared access
signature, comes in LIBMIGRATE_CONNECTION.
"""

import os
import sys

from azure.storage.blob import BlobServiceClient


def main() -> None:
    container, blob, path = sys.argv[1:]
    connection = os.environ["LIBMIGRATE_CONNECTION"]
    # The newest client asks for a version that the emulator may not know yet; this one all of them know.
    options = {"api_version": "2021-12-02", "retry_total": 0}
    if connection.startswith("http"):
        service = BlobServiceClient(connection, **options)
    else:
        service = BlobServiceClient.from_connection_string(connection, **options)
    with open(path, "wb") as file:
        service.get_blob_client(container, blob).download_blob(max_concurrency=4).readinto(file)


main()

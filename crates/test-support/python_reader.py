"""Downloads a page blob with Microsoft's own client: an independent reader of what we wrote."""

import sys

from azure.storage.blob import BlobClient

connection_string, container, blob, path = sys.argv[1:]
client = BlobClient.from_connection_string(connection_string, container, blob)
with open(path, "wb") as file:
    client.download_blob().readinto(file)

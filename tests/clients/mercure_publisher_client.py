"""Publishes with mercure-publisher, as its README shows.

Arguments: the URL of the hub, the key of publishers, and publications as a JSON array of objects.
Makes all of them with the client that blocks, then with the one that does not. Tells what happens,
one JSON array a line.
"""

import asyncio
import json
import sys

from mercure_publisher import AsyncMercurePublisher, MercureConfig, MercurePublisher
from mercure_publisher.exceptions import MercurePublishError


def tell(*what):
    print(json.dumps(what), flush=True)


def publish(config, publications):
    with MercurePublisher(config) as publisher:
        for publication in publications:
            try:
                tell("published", publisher.publish(**publication))
            except MercurePublishError as error:
                tell("error", error.status_code)


async def publish_async(config, publications):
    async with AsyncMercurePublisher(config) as publisher:
        for publication in publications:
            try:
                tell("published", await publisher.publish(**publication))
            except MercurePublishError as error:
                tell("error", error.status_code)


hub, key, publications = sys.argv[1:]
config = MercureConfig(
    hub_url=hub,
    publisher_jwt_key=key,
    publish_topics=["https://example.com/books/{id}"],
    jwt_ttl_seconds=3600,
)
publications = json.loads(publications)
publish(config, publications)
asyncio.run(publish_async(config, publications))

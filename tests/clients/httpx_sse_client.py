"""Follows topics with httpx-sse, which leaves coming back to its callers: as its README shows.

Arguments: the URL of the hub, a token or nothing, and matchers as NAME=VALUE. Tells what happens,
one JSON array a line.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def tell(*what):
    print(json.dumps(what), flush=True)


def follow(client, url, params, headers):
    last_event_id = ""
    reconnection_delay = 0.0
    while True:
        time.sleep(reconnection_delay)
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        try:
            with connect_sse(client, "GET", url, params=params, headers=headers) as event_source:
                event_source.response.raise_for_status()
                tell("open")
                for sse in event_source.iter_sse():
                    last_event_id = sse.id
                    if sse.retry is not None:
                        reconnection_delay = sse.retry / 1000
                    # What has no data is no event, by the standard.
                    if sse.data:
                        tell("event", sse.id, sse.event, sse.data)
            tell("closed")
        except httpx.TransportError:
            tell("cut")


hub, token, *matchers = sys.argv[1:]
params = [tuple(matcher.split("=", 1)) for matcher in matchers]
headers = {"Authorization": f"Bearer {token}"} if token else {}
# Without this it would take five seconds of silence for the end.
timeout = httpx.Timeout(5, read=None)
with httpx.Client(timeout=timeout, trust_env=False) as client:
    try:
        follow(client, hub, params, headers)
    except httpx.HTTPStatusError as error:
        tell("error", error.response.status_code)

"""An application with Flask and flask-mercure-sse, as its README shows.

Arguments: the URL of the hub, the key of both roles, and which of its pages are asked for. Tells
what each page is, with the cookie that it sets, and what it publishes; one JSON array a line.
"""

import json
import sys

from flask import Flask, make_response, render_template_string
from flask_mercure_sse import MercureSSE

hub, key, *pages = sys.argv[1:]
app = Flask(__name__)
app.config["SECRET_KEY"] = key
app.config["MERCURE_HUB_URL"] = hub
mercure = MercureSSE(app)


def tell(*what):
    print(json.dumps(what), flush=True)


@app.route("/public")
def public():
    return render_template_string(
        "{{ mercure_hub_url(['books', 'https://example.com/{id}'])|safe }}"
    )


@app.route("/private")
def private():
    return render_template_string(
        "{{ mercure_authentified_hub_url('https://example.com/1')|safe }}"
    )


@app.route("/login")
def login():
    return mercure.set_authz_cookie(make_response("welcome"), ["https://example.com/{id}"])


@app.route("/publish")
def publish():
    tell("published", mercure.publish("books", "a message"))
    tell("published", mercure.publish("https://example.com/1", {"a": 1}, private=True))
    tell("published", mercure.publish("books", "x", id="urn:x:1", type="t", retry=5))
    return "done"


client = app.test_client()
for page in pages:
    answer = client.get(page)
    tell("page", answer.text, answer.headers.get("Set-Cookie"))

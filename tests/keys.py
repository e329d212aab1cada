"""Keys, key sets and tokens for the tests, made by libraries that others use.

`make`: everything at once, as one JSON object. `verify`: checks tokens that are given as JSON.
"""

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import sys
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS1 = serialization.PublicFormat.PKCS1
PLAIN = serialization.NoEncryption()


def private_pem(key, form=PKCS8):
    return key.private_bytes(PEM, form, PLAIN).decode()


def public_pem(key, form=SPKI):
    return key.public_key().public_bytes(PEM, form).decode()


def public_jwk(key, **members):
    public = jwcrypto_jwk.JWK.from_pem(public_pem(key).encode()).export_public(as_dict=True)
    public.pop("kid", None)
    return {**public, **members}


def claims(issuer, audience):
    now = int(time.time())
    return {
        "iss": issuer,
        "aud": audience,
        "sub": "tests",
        "client_id": "tests",
        "jti": "tests",
        "iat": now,
        "exp": now + 3600,
        "authorization_details": [
            {
                "type": "https://mercure.rocks/authorization-detail",
                "actions": ["publish", "subscribe"],
                "topics": [{"match": "*"}],
            }
        ],
    }


def by_pyjwt(key, algorithm, body, **header):
    return jwt.encode(body, key, algorithm=algorithm, headers={"typ": "at+jwt", **header})


def by_jwcrypto(pem, algorithm, body, **header):
    key = jwcrypto_jwk.JWK.from_pem(pem.encode())
    token = jwcrypto_jwt.JWT(header={"alg": algorithm, "typ": "at+jwt", **header}, claims=body)
    token.make_signed_token(key)
    return token.serialize()


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, body, secret):
    """HMAC, or no signature at all, under any header: what no library would do."""
    parts = [encode(json.dumps(part).encode()) for part in (header, body)]
    message = ".".join(parts)
    if secret is None:
        return message + "."
    return message + "." + encode(hmac.new(secret, message.encode(), hashlib.sha256).digest())


def certificate(subject, key, issuer, issuer_key, is_authority):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    today = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
    )
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(PEM).decode()


def make(audience):
    rsa_keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    keys = {
        **{f"RS{bits}": rsa_keys[0] for bits in (256, 384, 512)},
        **{f"PS{bits}": rsa_keys[1] for bits in (256, 384, 512)},
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "ES512": ec.generate_private_key(ec.SECP521R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    next_key = ec.generate_private_key(ec.SECP256R1())
    algorithms = {}
    for algorithm, key in keys.items():
        own, in_set = claims(f"urn:{algorithm}", audience), claims("urn:set", audience)
        pem = private_pem(key)
        algorithms[algorithm] = {
            "private": pem,
            "traditional": private_pem(key, TRADITIONAL if algorithm != "EdDSA" else PKCS8),
            "public": public_pem(key),
            "jwk": public_jwk(key, kid=algorithm, alg=algorithm),
            "tokens": [by_pyjwt(key, algorithm, own), by_jwcrypto(pem, algorithm, own)],
            "set_tokens": [
                by_pyjwt(key, algorithm, in_set, kid=algorithm),
                by_jwcrypto(pem, algorithm, in_set),
            ],
        }
    for bits in (256, 384, 512):
        algorithm, secret = f"HS{bits}", f"a secret of the tests for HS{bits} ".ljust(64, "x")
        body = claims(f"urn:{algorithm}", audience)
        token = jwcrypto_jwt.JWT(header={"alg": algorithm, "typ": "at+jwt"}, claims=body)
        token.make_signed_token(jwcrypto_jwk.JWK(kty="oct", k=encode(secret.encode())))
        algorithms[algorithm] = {
            "private": secret,
            "public": secret,
            "tokens": [by_pyjwt(secret, algorithm, body), token.serialize()],
        }

    rs256, es256 = keys["RS256"], keys["ES256"]
    at = {"typ": "at+jwt"}
    of = {name: claims(f"urn:{name}", audience) for name in algorithms}
    public = {name: algorithms[name]["public"].encode() for name in algorithms}
    oct_jwk = {"kty": "oct", "k": encode(b"known to all"), "kid": "oct", "alg": "HS256"}
    confused = {
        "an RSA public key as a secret": by_hand({"alg": "HS256", **at}, of["RS256"], public["RS256"]),
        "the same under its own alg": by_hand({"alg": "RS256", **at}, of["RS256"], public["RS256"]),
        "an EC public key as a secret": by_hand({"alg": "HS256", **at}, of["ES256"], public["ES256"]),
        "none": by_hand({"alg": "none", **at}, of["ES256"], None),
        "no signature": by_hand({"alg": "ES256", **at}, of["ES256"], None),
        "an RS key used as PS": by_pyjwt(rs256, "PS256", of["RS256"]),
        "another hash": by_pyjwt(rs256, "RS384", of["RS256"]),
        "ES256 at an ES384 key": by_pyjwt(es256, "ES256", of["ES384"]),
        "the key of another issuer": by_pyjwt(es256, "ES256", of["EdDSA"], kid="EdDSA"),
        "a key in the header": by_pyjwt(
            next_key, "ES256", of["ES256"], jwk=public_jwk(next_key), jku="https://evil.example/"
        ),
        "oct in the set": by_hand(
            {"alg": "HS256", "kid": "oct", **at}, claims("urn:set", audience), b"known to all"
        ),
        "an RS key of the set used as PS": by_pyjwt(
            rs256, "PS256", claims("urn:set", audience), kid="RS256"
        ),
        "a kid of another key": by_pyjwt(next_key, "ES256", claims("urn:set", audience), kid="ES256"),
    }

    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    in_set = claims("urn:set", audience)
    return {
        "algorithms": algorithms,
        "rsa_pkcs1_public": public_pem(rs256, PKCS1),
        "rsa_certificate": certificate("issuer", rs256, "issuer", rs256, False),
        "oct": oct_jwk,
        "encryption": public_jwk(rs256, kid="enc", use="enc", alg="RSA-OAEP"),
        "nameless": {"jwk": public_jwk(rs256), "token": by_pyjwt(rs256, "RS256", in_set)},
        "next": {
            "jwk": public_jwk(next_key, kid="next", alg="ES256", use="sig"),
            "token": by_pyjwt(next_key, "ES256", in_set, kid="next"),
        },
        "ghost": by_pyjwt(ec.generate_private_key(ec.SECP256R1()), "ES256", in_set, kid="ghost"),
        "confused": confused,
        "tls": {
            "authority": certificate("tests", authority, "tests", authority, True),
            "certificate": certificate("127.0.0.1", server, "tests", authority, False),
            "key": private_pem(server),
        },
    }


def verify(entries, audience):
    for entry in entries:
        key, token, algorithm = entry["key"], entry["token"], entry["alg"]
        jwt.decode(token, key, algorithms=[algorithm], audience=audience)
        assert jwt.get_unverified_header(token) == {
            "alg": algorithm,
            "typ": "at+jwt",
            "kid": "the key",
        }, token
        if not algorithm.startswith("HS"):
            jwcrypto_jwt.JWT(
                jwt=token, key=jwcrypto_jwk.JWK.from_pem(key.encode()), algs=[algorithm]
            )
    return len(entries)


if __name__ == "__main__":
    _, command, audience = sys.argv
    if command == "make":
        json.dump(make(audience), sys.stdout)
    else:
        json.dump(verify(json.load(sys.stdin), audience), sys.stdout)

#!/usr/bin/env python3
"""Makes what the scenario `access` shows: a token with its issuer's keys, and an AWS secret; all new each time.

Into $RUN: jwks.json, token, aws-secret. Needs openssl.
"""

import base64
import json
import os
import secrets
import subprocess

RUN = os.environ.get("RUN", "/tmp/rimward-compare")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main():
    key = f"{RUN}/issuer.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    modulus = subprocess.run(["openssl", "rsa", "-in", key, "-noout", "-modulus"], check=True, capture_output=True, text=True)
    number = bytes.fromhex(modulus.stdout.strip().split("=")[1])
    keys = {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "bench", "n": b64(number), "e": "AQAB"}]}
    claims = {"iss": "https://issuer.example", "aud": "bench", "sub": "alice", "exp": 4102444800}
    signed = f'{b64(json.dumps({"alg": "RS256", "kid": "bench"}).encode())}.{b64(json.dumps(claims).encode())}'
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), check=True, capture_output=True).stdout
    for name, text in (("jwks.json", json.dumps(keys)), ("token", f"{signed}.{b64(signature)}"), ("aws-secret", secrets.token_hex(20))):
        with open(f"{RUN}/{name}", "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()

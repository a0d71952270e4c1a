"""Signs what standard input lists with botocore's CloudFrontSigner; prints the URLs as JSON."""

import datetime
import json
import sys

from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

asked = json.load(sys.stdin)
key = serialization.load_pem_private_key(open(asked["key"], "rb").read(), None)
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


def moment(seconds):
    return seconds and datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def sign(case):
    digest = HASHES[case["hash"]]

    def raw(message):
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(digest))
        return key.sign(message, padding.PKCS1v15(), digest)

    signer = CloudFrontSigner("K2", raw)
    expires, after, ip = moment(case["expires"]), moment(case.get("after")), case.get("ip")
    if after or ip:
        policy = signer.build_policy(case["url"], expires, after, ip)
        url = signer.generate_presigned_url(case["url"], policy=policy)
    else:
        url = signer.generate_presigned_url(case["url"], date_less_than=expires)
    return url + ("&Hash-Algorithm=SHA256" if case["hash"] == "sha256" else "")


json.dump([sign(case) for case in asked["cases"]], sys.stdout)

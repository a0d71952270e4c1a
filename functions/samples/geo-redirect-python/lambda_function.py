"""Sends a visitor to the site of their country: a Lambda@Edge function as it is deployed to AWS.

Event: origin-request, where CloudFront-Viewer-Country is (the cache policy lists it). Grants: none.
"""

import logging
import os
from urllib.parse import quote

logger = logging.getLogger()
logger.setLevel(logging.INFO)

SITES = {"DE": "/de", "AT": "/de", "CH": "/de", "FR": "/fr", "BE": "/fr"}


def lambda_handler(event, context):
    request = event["Records"][0]["cf"]["request"]
    headers = request["headers"]
    prefixes = tuple(prefix + "/" for prefix in set(SITES.values()))
    if "cloudfront-viewer-country" not in headers or request["uri"].startswith(prefixes):
        return request

    country = headers["cloudfront-viewer-country"][0]["value"]
    prefix = SITES.get(country)
    if prefix is None:
        return request

    logger.info("%s goes to %s", country, prefix)
    location = os.environ.get("SITE", "") + prefix + quote(request["uri"], safe="/%")
    if request["querystring"]:
        location += "?" + request["querystring"]
    return {
        "status": "302",
        "statusDescription": "Found",
        "headers": {
            "location": [{"key": "Location", "value": location}],
            "cache-control": [{"key": "Cache-Control", "value": "max-age=300"}],
        },
    }

"""A Lambda@Edge function for viewer-response: runs before the viewer is answered."""


def lambda_handler(event, context):
    cf = event["Records"][0]["cf"]
    headers = cf["response"]["headers"]

    headers["strict-transport-security"] = [{"key": "Strict-Transport-Security", "value": "max-age=63072000"}]
    headers["x-content-type-options"] = [{"key": "X-Content-Type-Options", "value": "nosniff"}]
    headers.pop("server", None)

    print("answered", cf["request"]["uri"], "with", cf["response"]["status"])
    return cf["response"]

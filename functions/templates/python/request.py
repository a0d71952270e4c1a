"""A Lambda@Edge function for viewer-request: runs before the cache is asked."""


def lambda_handler(event, context):
    request = event["Records"][0]["cf"]["request"]

    # Answer by itself: nothing further is asked.
    if request["uri"].startswith("/old/"):
        location = request["uri"].replace("/old/", "/new/", 1)
        return {
            "status": "301",
            "statusDescription": "Moved Permanently",
            "headers": {"location": [{"key": "Location", "value": location}]},
        }

    # Or go on with a changed request.
    if request["uri"].endswith("/"):
        request["uri"] += "index.html"
    request["headers"]["x-function"] = [{"key": "X-Function", "value": "NAME"}]
    print("asks for", request["uri"])
    return request

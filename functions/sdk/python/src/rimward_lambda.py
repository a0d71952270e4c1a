"""Runs a Lambda@Edge file as it is: the component's export `lambda-edge`.

In: AWS's event and a context, as JSON. Out: what the handler returned, as JSON, or what it raised. Never: a clock, randomness, a
log or an environment other than the host's: rimward_host puts those in place before the file is imported.

The module `rimward_handler` is written by the build: it imports the file and names its handler.
"""

import rimward_host

rimward_host.install()

import json  # noqa: E402

from componentize_py_types import Err  # noqa: E402
from rimward_handler import handler  # noqa: E402
from wit_world import exports  # noqa: E402
from wit_world.imports import call  # noqa: E402


class Context:
    """The second argument of a handler."""

    def __init__(self, text):
        known = json.loads(text)
        self.function_name = known["functionName"]
        self.function_version = known["functionVersion"]
        self.aws_request_id = known["awsRequestId"]
        qualified = f"{self.function_name}:{self.function_version}"
        self.invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:" + qualified
        self.memory_limit_in_mb = "128"
        self.log_group_name = "/aws/lambda/" + self.function_name
        self.log_stream_name = self.function_version
        self.identity = None
        self.client_context = None

    def get_remaining_time_in_millis(self):
        return call.remaining_ms()


class LambdaEdge(exports.LambdaEdge):
    def handle(self, event, context):
        rimward_host.begin()
        try:
            return json.dumps(handler(json.loads(event), Context(context)))
        except BaseException as error:
            raise Err(failure(error)) from None
        finally:
            rimward_host.end()


def failure(error):
    """What AWS's runtime answers when a handler raises."""
    stack, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if code.co_filename != __file__:
            stack.append('File "%s", line %d, in %s' % (code.co_filename, frame.tb_lineno, code.co_name))
        frame = frame.tb_next
    return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": stack})

// Behind an HTTP API (payload format 2.0), or called for itself.
exports.handler = async (event) => {
  const name = event.pathParameters?.name ?? event.name ?? "whoever you are";
  console.log("greeting", name);
  return {
    statusCode: 200,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "max-age=10" },
    body: `Hello ${decodeURIComponent(name)}, from ${process.env.AWS_LAMBDA_FUNCTION_NAME}\n`,
  };
};

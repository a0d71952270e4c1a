// Shows half of the visitors another version of the site, and the same visitor always the same one.
//
// Events: viewer-request and viewer-response, as a Lambda@Edge function. Grants: none. The version is in the path, so each is cached
// under its own key. Who has no cookie is given a version by chance; the response hands out the cookie.

import type { Event, Handler, Request, Response } from "../../sdk/typescript/lambda-edge";

type Version = "a" | "b";

const COOKIE = "version";
const SHARE_OF_B = 0.5;
const DAYS = 30;

export const handler: Handler = async (event: Event) => {
  const { config, request, response } = event.Records[0].cf;
  return response && config.eventType === "viewer-response" ? remember(request, response) : split(request);
};

/** Puts the version in front of the path. */
function split(request: Request): Request {
  const version = chosen(request) ?? (Math.random() < SHARE_OF_B ? "b" : "a");
  request.uri = `/${version}${request.uri}`;
  return request;
}

/** Hands out the cookie for the version that was served, unless the visitor has it. */
function remember(request: Request, response: Response): Response {
  const served = request.uri.startsWith("/b/") ? "b" : "a";
  if (chosen(request) !== served) {
    const cookie = `${COOKIE}=${served}; Path=/; Max-Age=${DAYS * 86_400}; Secure; SameSite=Lax`;
    (response.headers["set-cookie"] ??= []).push({ key: "Set-Cookie", value: cookie });
  }
  return response;
}

function chosen(request: Request): Version | undefined {
  for (const { value } of request.headers["cookie"] ?? []) {
    for (const pair of value.split(";")) {
      const [name, version] = pair.trim().split("=");
      if (name === COOKIE && (version === "a" || version === "b")) return version;
    }
  }
  return undefined;
}

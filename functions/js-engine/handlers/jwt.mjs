import { createVerify, createPublicKey } from "node:crypto";

const key = createPublicKey(`-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmfW2cyYOZfaT7OPZXOvi
lYugt0nN7Af/kqP48tcElDl0K26ZlSvgAgLDm9Ye5J2NPqD8CKleXLI1HqZXOsHg
V3gU29oNSV0VLyNCOQykKRk/H96HjPkzLDRNw3WK2SJKkrNW5YMWv+T7FSQp1Cz1
I/kvWZCTxe70u/P9FjiH10R7Xs1vStr4e7MHCR23KHKHQEebn7dTNcl3S4I12z0E
zBnuxF+VngbF07ZIgLg+F2Me6hlW9e0CIYXPAm9CCEeRanWAP5bm8eq3L3M+7UfD
bVGHcQh9jNdR5DSdkunyFHF3ipIrIXkIDH9Lc7xjiFVtOyp0xaGEVNlz2fMOkHo2
FQIDAQAB
-----END PUBLIC KEY-----`);

function deny(why) {
  return {
    status: 401,
    statusDescription: "Unauthorized",
    headers: { "www-authenticate": [{ key: "WWW-Authenticate", value: `Bearer error="${why}"` }] },
  };
}

export async function handler(event) {
  const request = event.Records[0].cf.request;
  const value = request.headers.authorization?.[0]?.value ?? "";
  const [, head, payload, signature] = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(value) ?? [];
  if (!signature) return deny("missing");
  const { alg } = JSON.parse(Buffer.from(head, "base64url").toString());
  if (alg !== "RS256") return deny("algorithm");
  const valid = createVerify("RSA-SHA256").update(`${head}.${payload}`).verify(key, signature, "base64url");
  if (!valid) return deny("signature");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  if (claims.exp * 1000 < Date.now()) return deny("expired");
  request.headers["x-user"] = [{ key: "X-User", value: claims.sub }];
  delete request.headers.authorization;
  return request;
}

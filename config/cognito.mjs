// Stands in for a Cognito user pool in the examples: a key of its own, and access tokens as Cognito makes them.
//
//     node config/cognito.mjs DIR          makes DIR/keys/pool.pem and DIR/keys/jwks.json, unless they are there
//     node config/cognito.mjs DIR alice    prints a token for alice, good for an hour
import fs from "node:fs";
import path from "node:path";
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";

const ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example00";
const CLIENT = "example-client";
const [directory, user] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: cognito.mjs DIR [USER]");
const keys = path.join(directory, "keys");
const pem = path.join(keys, "pool.pem");

if (!fs.existsSync(pem)) {
  fs.mkdirSync(keys, { recursive: true });
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };
  fs.writeFileSync(path.join(keys, "jwks.json"), JSON.stringify({ keys: [jwk] }));
  fs.writeFileSync(pem, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
}

if (user !== undefined) {
  const [{ kid }] = JSON.parse(fs.readFileSync(path.join(keys, "jwks.json"), "utf8")).keys;
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user, iss: ISSUER, client_id: CLIENT, token_use: "access", scope: "todos", iat: now, exp: now + 3600 };
  const text = [{ alg: "RS256", kid, typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  console.log(`${text}.${sign("sha256", Buffer.from(text), createPrivateKey(fs.readFileSync(pem))).toString("base64url")}`);
}

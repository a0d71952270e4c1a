// Signs what standard input lists with @aws-sdk/cloudfront-signer; prints URLs and cookies as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const asked = JSON.parse(readFileSync(0, "utf8"));
const { getSignedUrl, getSignedCookies } = createRequire(asked.modules)("@aws-sdk/cloudfront-signer");
const privateKey = readFileSync(asked.key, "utf8");
const date = (seconds) => seconds && new Date(seconds * 1000).toISOString();

const signed = asked.cases.map(({ url, expires, after, ip, hash }) => {
  const options = {
    url, privateKey, keyPairId: "K2", dateLessThan: date(expires), dateGreaterThan: date(after), ipAddress: ip,
    algorithm: hash.toUpperCase(),
  };
  return { url: getSignedUrl(options), cookies: getSignedCookies(options) };
});
process.stdout.write(JSON.stringify(signed));

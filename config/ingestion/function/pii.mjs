// What may not be kept of an event: pure.
import { createHmac } from "node:crypto";

const SECRET = /^(password|passwd|token|secret|authorization)$/i;
const EMAIL = /[\w.+-]+@[\w-]+(\.[\w-]+)+/g;
const DIGITS = /\b\d(?:[ -]?\d){12,18}\b/g;
const LEVELS = 32;

// Card numbers: the check digit is right.
function luhn(digits) {
  const sum = [...digits].reverse().reduce((sum, digit, at) => {
    const doubled = at % 2 === 0 ? Number(digit) : 2 * Number(digit);
    return sum + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return sum % 10 === 0;
}

const text = (value) =>
  value.replace(EMAIL, "[email]").replace(DIGITS, (found) => (luhn(found.replace(/[ -]/g, "")) ? "[card]" : found));

// 192.0.2.7 → 192.0.2.0; anything else → nothing.
const network = (address) => (/^\d+\.\d+\.\d+\.\d+$/.test(address) ? address.replace(/\.\d+$/, ".0") : null);

export function scrub(value, pepper, level = 0) {
  if (level > LEVELS) throw new Error(`an event of more than ${LEVELS} levels`);
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return value.map((one) => scrub(one, pepper, level + 1));
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([name]) => !SECRET.test(name));
  return Object.fromEntries(
    kept.map(([name, one]) => {
      if (name === "user") return [name, createHmac("sha256", pepper).update(String(one)).digest("hex").slice(0, 32)];
      if (name === "ip") return [name, network(String(one))];
      return [name, scrub(one, pepper, level + 1)];
    }),
  );
}

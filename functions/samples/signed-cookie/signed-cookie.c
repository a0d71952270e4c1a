/* Lets in who carries a cookie that this site signed.
 *
 * Event: viewer-request. Grants: the secret `cookie-key`. The cookie is session=<user>.<expiry>.<signature>: expiry in seconds
 * since the epoch, signature = HMAC-SHA-256 of "<user>.<expiry>" in lower-case hexadecimal. Who it is goes to the origin as
 * x-user, and what a viewer sent under that name never does. Everybody else is sent to /login, which is open. */

#include "rimward.h"

static void login(const rw_message *m, rw_answer *out) {
  rw_field fields[] = {
      {RW("location"), rw_concat(RW("/login?next="), m->uri)},
      {RW("cache-control"), RW("no-store")},
      {RW("set-cookie"), RW("session=; Path=/; Max-Age=0; Secure; HttpOnly")},
  };
  rw_respond(out, 302, fields, rw_cookie(m, RW("session")).data ? 3 : 2, RW_NONE);
}

static rw_bytes hex(rw_bytes bytes) {
  uint8_t *text = rw_alloc(bytes.len * 2);
  for (uint32_t i = 0; i < bytes.len; i++) {
    text[2 * i] = (uint8_t) "0123456789abcdef"[bytes.data[i] >> 4];
    text[2 * i + 1] = (uint8_t) "0123456789abcdef"[bytes.data[i] & 15];
  }
  return (rw_bytes){text, bytes.len * 2};
}

/* A decimal number of at most 15 digits; 0 when it is none. */
static uint64_t number(rw_bytes text) {
  uint64_t n = 0;
  if (text.len > 15) return 0;
  for (uint32_t i = 0; i < text.len; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') return 0;
    n = n * 10 + (text.data[i] - '0');
  }
  return n;
}

/* Position of the last dot before `end`; `end` when there is none. */
static uint32_t dot(rw_bytes text, uint32_t end) {
  for (uint32_t at = end; at-- > 0;)
    if (text.data[at] == '.') return at;
  return end;
}

/* The user of a cookie that is signed and not over; RW_NONE otherwise. */
static rw_bytes user(rw_bytes cookie) {
  uint32_t second = dot(cookie, cookie.len), first = dot(cookie, second);
  if (first == second || first == 0) return RW_NONE;

  rw_bytes mac = rw_hmac(RW("sha256"), rw_secret(RW("cookie-key")), rw_slice(cookie, 0, second));
  if (!mac.data || !rw_secret_equal(hex(mac), rw_slice(cookie, second + 1, cookie.len))) return RW_NONE;
  if (number(rw_slice(cookie, first + 1, second)) * 1000 <= rw_now_ms()) return RW_NONE;
  return rw_slice(cookie, 0, first);
}

static void hook(const rw_message *m, rw_answer *out) {
  rw_remove_header(out, RW("x-user"));
  if (rw_equal(m->uri, RW("/login"))) return;
  rw_bytes who = user(rw_cookie(m, RW("session")));
  if (!who.data) return login(m, out);
  rw_set_header(out, RW("x-user"), who);
}

RW_EXPORT(hook)

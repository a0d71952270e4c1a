// Text encodings for Buffer, TextEncoder and TextDecoder: the loops that would be slow in JavaScript.
//   encode(bytes, encoding, start, end) → string      decode(string, encoding) → Uint8Array
//   isUtf8(bytes) → bool                              size(string) → bytes as UTF-8
#include <stdlib.h>
#include <string.h>
#include "engine.h"

enum { UTF8, HEX, BASE64, BASE64URL, LATIN1, ASCII, UTF16LE };

static const char DIGITS[2][65] = {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};

// Length of the well-formed sequence at p; 0 when there is none. `used`: how much of it one replacement character stands for
// (the WHATWG's "maximal subpart").
static size_t sequence(const uint8_t *p, size_t left, size_t *used, uint32_t *code) {
  uint8_t lead = p[0], low = 0x80, high = 0xBF;
  size_t need;
  *used = 1;
  if (lead < 0x80) return *code = lead, 1;
  if (lead >= 0xC2 && lead <= 0xDF) need = 1, *code = lead & 0x1F;
  else if (lead >= 0xE0 && lead <= 0xEF) {
    need = 2, *code = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    need = 3, *code = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else return 0;
  for (size_t i = 1; i <= need; i++) {
    if (i >= left || p[i] < low || p[i] > high) return *used = i, 0;
    *code = *code << 6 | (p[i] & 0x3F);
    low = 0x80, high = 0xBF;
  }
  return *used = need + 1;
}

static bool well_formed(const uint8_t *p, size_t len) {
  uint32_t code;
  for (size_t i = 0, used; i < len; i += used)
    if (!sequence(p + i, len - i, &used, &code)) return false;
  return true;
}

static JSValue from_utf8(const uint8_t *p, size_t len) {
  if (well_formed(p, len)) return JS_NewStringLen(ctx, (const char *)p, len);
  char *out = malloc(len * 3 + 1); // a bad byte becomes three
  if (!out) return JS_ThrowOutOfMemory(ctx);
  size_t n = 0;
  for (size_t i = 0, used; i < len; i += used) {
    uint32_t code;
    if (sequence(p + i, len - i, &used, &code)) memcpy(out + n, p + i, used), n += used;
    else memcpy(out + n, "\xEF\xBF\xBD", 3), n += 3;
  }
  JSValue s = JS_NewStringLen(ctx, out, n);
  free(out);
  return s;
}

static JSValue from_latin1(const uint8_t *p, size_t len, uint8_t mask) {
  char *out = malloc(len * 2 + 1);
  if (!out) return JS_ThrowOutOfMemory(ctx);
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    uint8_t c = p[i] & mask;
    if (c < 0x80) out[n++] = (char)c;
    else out[n++] = (char)(0xC0 | c >> 6), out[n++] = (char)(0x80 | (c & 0x3F));
  }
  JSValue s = JS_NewStringLen(ctx, out, n);
  free(out);
  return s;
}

static JSValue from_base64(const uint8_t *p, size_t len, bool url) {
  char *out = malloc(len / 3 * 4 + 5);
  if (!out) return JS_ThrowOutOfMemory(ctx);
  const char *digits = DIGITS[url];
  size_t n = 0, i = 0;
  for (; i + 2 < len; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | p[i + 1] << 8 | p[i + 2];
    out[n++] = digits[v >> 18], out[n++] = digits[v >> 12 & 63], out[n++] = digits[v >> 6 & 63], out[n++] = digits[v & 63];
  }
  if (i < len) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? p[i + 1] << 8 : 0);
    out[n++] = digits[v >> 18], out[n++] = digits[v >> 12 & 63];
    if (i + 1 < len) out[n++] = digits[v >> 6 & 63];
    else if (!url) out[n++] = '=';
    if (!url) out[n++] = '=';
  }
  JSValue s = JS_NewStringLen(ctx, out, n);
  free(out);
  return s;
}

static JSValue from_hex(const uint8_t *p, size_t len) {
  char *out = malloc(len * 2 + 1);
  if (!out) return JS_ThrowOutOfMemory(ctx);
  for (size_t i = 0; i < len; i++) out[i * 2] = "0123456789abcdef"[p[i] >> 4], out[i * 2 + 1] = "0123456789abcdef"[p[i] & 15];
  JSValue s = JS_NewStringLen(ctx, out, len * 2);
  free(out);
  return s;
}

static JSValue from_utf16(const uint8_t *p, size_t len) {
  uint16_t *out = malloc(len + 2); // the bytes may lie unaligned
  if (!out) return JS_ThrowOutOfMemory(ctx);
  memcpy(out, p, len & ~(size_t)1);
  JSValue s = JS_NewStringUTF16(ctx, out, len / 2);
  free(out);
  return s;
}

static JSValue encode(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  size_t len;
  int32_t encoding, start, end;
  uint8_t *p = JS_GetUint8Array(ctx, &len, argv[0]);
  if (!p || JS_ToInt32(ctx, &encoding, argv[1])) return JS_EXCEPTION;
  start = 0, end = (int32_t)len;
  if (argc > 2 && JS_ToInt32(ctx, &start, argv[2])) return JS_EXCEPTION;
  if (argc > 3 && JS_ToInt32(ctx, &end, argv[3])) return JS_EXCEPTION;
  if (start < 0) start = 0;
  if (end > (int32_t)len) end = (int32_t)len;
  if (start >= end) return JS_NewStringLen(ctx, "", 0);
  p += start, len = end - start;
  switch (encoding) {
  case HEX: return from_hex(p, len);
  case BASE64: case BASE64URL: return from_base64(p, len, encoding == BASE64URL);
  case LATIN1: return from_latin1(p, len, 0xFF);
  case ASCII: return from_latin1(p, len, 0x7F);
  case UTF16LE: return from_utf16(p, len);
  default: return from_utf8(p, len);
  }
}

static int digit64(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

static int digit16(uint16_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static void release(JSRuntime *r, void *opaque, void *p) { free(p); }
static JSValue bytes_own(uint8_t *p, size_t len) { return JS_NewUint8Array(ctx, p, len, release, NULL, false); }

// What Node accepts: digits of both alphabets, everything else skipped, until the first '='.
static JSValue to_base64(const char *s, size_t len) {
  uint8_t *out = malloc(len * 3 / 4 + 4);
  if (!out) return JS_ThrowOutOfMemory(ctx);
  size_t n = 0;
  uint32_t bits = 0, have = 0;
  for (size_t i = 0; i < len && s[i] != '='; i++) {
    int d = digit64((uint8_t)s[i]);
    if (d < 0) continue;
    bits = bits << 6 | (uint32_t)d, have += 6;
    if (have >= 8) have -= 8, out[n++] = (uint8_t)(bits >> have);
  }
  return bytes_own(out, n);
}

// Lone surrogates come as three bytes ED A0..BF xx: U+FFFD is three bytes too.
static void mend_surrogates(uint8_t *p, size_t len) {
  for (size_t i = 0; i + 2 < len; i++)
    if (p[i] == 0xED && p[i + 1] >= 0xA0) memcpy(p + i, "\xEF\xBF\xBD", 3), i += 2;
}

static JSValue to_units(JSValueConst text, int encoding) {
  size_t len, n = 0;
  const uint16_t *s = JS_ToCStringLenUTF16(ctx, &len, text);
  if (!s) return JS_EXCEPTION;
  uint8_t *out = malloc(len * 2 + 1);
  if (!out) {
    JS_FreeCStringUTF16(ctx, s);
    return JS_ThrowOutOfMemory(ctx);
  }
  if (encoding == UTF16LE) memcpy(out, s, n = len * 2);
  else if (encoding == HEX)
    for (size_t i = 0; i + 1 < len && digit16(s[i]) >= 0 && digit16(s[i + 1]) >= 0; i += 2)
      out[n++] = (uint8_t)(digit16(s[i]) << 4 | digit16(s[i + 1]));
  else
    while (n < len) out[n] = (uint8_t)s[n], n++;
  JS_FreeCStringUTF16(ctx, s);
  return bytes_own(out, n);
}

static JSValue decode(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  int32_t encoding;
  if (argc < 2 || JS_ToInt32(ctx, &encoding, argv[1])) return JS_EXCEPTION;
  if (encoding == HEX || encoding >= LATIN1) return to_units(argv[0], encoding);
  size_t len;
  const char *s = JS_ToCStringLen(ctx, &len, argv[0]);
  if (!s) return JS_EXCEPTION;
  JSValue v;
  if (encoding == UTF8) {
    uint8_t *out = malloc(len + 1);
    if (!out) v = JS_ThrowOutOfMemory(ctx);
    else {
      memcpy(out, s, len);
      mend_surrogates(out, len);
      v = bytes_own(out, len);
    }
  } else v = to_base64(s, len);
  JS_FreeCString(ctx, s);
  return v;
}

static JSValue is_utf8(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  size_t len;
  uint8_t *p = JS_GetUint8Array(ctx, &len, argv[0]);
  return p ? JS_NewBool(ctx, well_formed(p, len)) : JS_EXCEPTION;
}

static JSValue size(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  size_t len;
  const char *s = JS_ToCStringLen(ctx, &len, argv[0]);
  if (!s) return JS_EXCEPTION;
  JS_FreeCString(ctx, s);
  return JS_NewInt64(ctx, (int64_t)len);
}

void bytes_define(JSValueConst host) {
  JS_SetPropertyStr(ctx, host, "encode", JS_NewCFunction(ctx, encode, "encode", 4));
  JS_SetPropertyStr(ctx, host, "decode", JS_NewCFunction(ctx, decode, "decode", 2));
  JS_SetPropertyStr(ctx, host, "isUtf8", JS_NewCFunction(ctx, is_utf8, "isUtf8", 1));
  JS_SetPropertyStr(ctx, host, "size", JS_NewCFunction(ctx, size, "size", 1));
}

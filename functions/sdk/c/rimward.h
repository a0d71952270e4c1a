/* Edge functions for Rimward, in C: the flat world (functions/wit/flat.md) and the host calls beside it.
 *
 *   #include "rimward.h"
 *
 *   static void hook(const rw_message *m, rw_answer *out) {
 *     if (rw_ends_with(m->uri, RW("/"))) rw_set_uri(out, rw_concat(m->uri, RW("index.html")));
 *   }
 *   RW_EXPORT(hook)
 *
 * One header and no library. A module has one thread and serves one call at a time. Memory is handed out upwards and given back
 * all at once when the next call begins, so nothing is freed and nothing outlives its call. An answer that does not fit or a host
 * without memory traps: the viewer gets 503, the PoP goes on.
 *
 * Compile: zig cc -target wasm32-freestanding -mbulk-memory -Os -nostdlib -Wl,--no-entry -Wl,-z,stack-size=16384 (build.sh).
 */
#ifndef RIMWARD_H
#define RIMWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Bytes ------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const uint8_t *data;
  uint32_t len;
} rw_bytes;

/* A literal as bytes. */
#define RW(text) ((rw_bytes){(const uint8_t *)(text), sizeof(text) - 1})

#define RW_NONE ((rw_bytes){NULL, 0})

static inline bool rw_equal(rw_bytes a, rw_bytes b) {
  if (a.len != b.len) return false;
  for (uint32_t i = 0; i < a.len; i++)
    if (a.data[i] != b.data[i]) return false;
  return true;
}

static inline rw_bytes rw_slice(rw_bytes text, uint32_t from, uint32_t to) {
  if (to > text.len) to = text.len;
  if (from > to) from = to;
  return (rw_bytes){text.data + from, to - from};
}

static inline bool rw_starts_with(rw_bytes text, rw_bytes start) {
  return text.len >= start.len && rw_equal(rw_slice(text, 0, start.len), start);
}

static inline bool rw_ends_with(rw_bytes text, rw_bytes end) {
  return text.len >= end.len && rw_equal(rw_slice(text, text.len - end.len, text.len), end);
}

static inline uint8_t rw_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Position of `part`, its ASCII letters of any case, in `text`; -1 when it is not there. */
static inline int32_t rw_find(rw_bytes text, rw_bytes part) {
  for (uint32_t at = 0; at + part.len <= text.len; at++) {
    uint32_t i = 0;
    while (i < part.len && rw_lower(text.data[at + i]) == rw_lower(part.data[i])) i++;
    if (i == part.len) return (int32_t)at;
  }
  return -1;
}

/* --- Memory ------------------------------------------------------------------------------------------------------------ */

extern uint8_t __heap_base;
static uint32_t rw_top;
static bool rw_answered;

/* `size` bytes, aligned to 8, until the next call begins. */
__attribute__((noinline)) static void *rw_alloc(uint32_t size) {
  const uint64_t page = 65536;
  if (!rw_top) rw_top = ((uint32_t)&__heap_base + 7) & ~7u;
  uint64_t end = ((uint64_t)rw_top + size + 7) & ~7ull;
  uint64_t have = __builtin_wasm_memory_size(0) * page;
  if (end > UINT32_MAX) __builtin_trap();
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + page - 1) / page) == (size_t)-1) __builtin_trap();
  void *block = (void *)rw_top;
  rw_top = (uint32_t)end;
  return block;
}

static inline rw_bytes rw_concat(rw_bytes a, rw_bytes b) {
  uint8_t *both = rw_alloc(a.len + b.len);
  __builtin_memcpy(both, a.data, a.len);
  __builtin_memcpy(both + a.len, b.data, b.len);
  return (rw_bytes){both, a.len + b.len};
}

/* --- The message ------------------------------------------------------------------------------------------------------- */

enum { RW_VIEWER_REQUEST = 1, RW_ORIGIN_REQUEST, RW_ORIGIN_RESPONSE, RW_VIEWER_RESPONSE };

typedef struct {
  rw_bytes name; /* lower case */
  rw_bytes value;
} rw_field;

typedef struct {
  rw_field *at;
  uint32_t count;
} rw_fields;

typedef struct {
  uint8_t event;
  rw_bytes request_id, client_ip, method, uri, query;
  rw_fields request;
  bool has_body, truncated;
  rw_bytes body;
  uint16_t status; /* 0 at request events */
  rw_fields response;
} rw_message;

/* The first field of that name (lower case); RW_NONE, whose data is NULL, when there is none. */
static inline rw_bytes rw_field_of(rw_fields fields, rw_bytes name) {
  for (uint32_t i = 0; i < fields.count; i++)
    if (rw_equal(fields.at[i].name, name)) return fields.at[i].value;
  return RW_NONE;
}

/* The value of a cookie of the request. */
static inline rw_bytes rw_cookie(const rw_message *m, rw_bytes name) {
  for (uint32_t f = 0; f < m->request.count; f++) {
    if (!rw_equal(m->request.at[f].name, RW("cookie"))) continue;
    rw_bytes line = m->request.at[f].value;
    for (uint32_t at = 0; at < line.len;) {
      uint32_t end = at;
      while (end < line.len && line.data[end] != ';') end++;
      while (at < end && line.data[at] == ' ') at++;
      rw_bytes pair = rw_slice(line, at, end);
      if (rw_starts_with(pair, name) && pair.len > name.len && pair.data[name.len] == '=')
        return rw_slice(pair, name.len + 1, pair.len);
      at = end + 1;
    }
  }
  return RW_NONE;
}

/* --- The answer -------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint8_t *data;
  uint32_t len, room;
} rw_answer;

__attribute__((noinline)) static void rw_put(rw_answer *out, const void *data, uint32_t len) {
  if (out->room - out->len < len) {
    uint32_t room = (out->room + len) * 2;
    uint8_t *larger = rw_alloc(room);
    __builtin_memcpy(larger, out->data, out->len);
    out->data = larger;
    out->room = room;
  }
  __builtin_memcpy(out->data + out->len, data, len);
  out->len += len;
}

static inline void rw_put_u8(rw_answer *out, uint8_t n) { rw_put(out, &n, 1); }
static inline void rw_put_u16(rw_answer *out, uint16_t n) { rw_put(out, &n, 2); }
static inline void rw_put_u32(rw_answer *out, uint32_t n) { rw_put(out, &n, 4); }

static inline void rw_put_bytes(rw_answer *out, rw_bytes bytes) {
  rw_put_u32(out, bytes.len);
  rw_put(out, bytes.data, bytes.len);
}

static inline void rw_op1(rw_answer *out, uint8_t op, rw_bytes a) { rw_put_u8(out, op), rw_put_bytes(out, a); }
static inline void rw_op2(rw_answer *out, uint8_t op, rw_bytes a, rw_bytes b) { rw_op1(out, op, a), rw_put_bytes(out, b); }

static inline void rw_set_uri(rw_answer *out, rw_bytes uri) { rw_op1(out, 1, uri); }
static inline void rw_set_query(rw_answer *out, rw_bytes query) { rw_op1(out, 2, query); }
static inline void rw_set_header(rw_answer *out, rw_bytes name, rw_bytes value) { rw_op2(out, 3, name, value); }
static inline void rw_append_header(rw_answer *out, rw_bytes name, rw_bytes value) { rw_op2(out, 4, name, value); }
static inline void rw_remove_header(rw_answer *out, rw_bytes name) { rw_op1(out, 5, name); }
static inline void rw_set_body(rw_answer *out, rw_bytes body) { rw_op1(out, 6, body); }
static inline void rw_set_status(rw_answer *out, uint16_t status) { rw_put_u8(out, 7), rw_put_u16(out, status); }
static inline void rw_fail(rw_answer *out, rw_bytes words) { rw_op1(out, 9, words); }
static inline void rw_choose_origin(rw_answer *out, rw_bytes name) { rw_op1(out, 10, name); }

/* Answers instead of going on. */
static inline void rw_respond(rw_answer *out, uint16_t status, const rw_field *fields, uint32_t count, rw_bytes body) {
  rw_put_u8(out, 8);
  rw_put_u16(out, status);
  rw_put_u32(out, count);
  for (uint32_t i = 0; i < count; i++) rw_put_bytes(out, fields[i].name), rw_put_bytes(out, fields[i].value);
  rw_put_bytes(out, body);
}

/* --- Host calls ----------------------------------------------------------------------------------------------------------
 * What is used has to be granted: a call that is compiled in and not granted fails when the function is deployed. The layouts
 * are those of the canonical ABI (a list or string is a pointer and a length; results come back through memory). */

#define RW_IMPORT(interface, name) __attribute__((import_module("rimward:edge/" interface "@0.1.0"), import_name(name)))

typedef const uint8_t *rw_ptr;

typedef struct {
  uint8_t some;
  rw_bytes value;
} rw_abi_option;

typedef struct {
  uint8_t err;
  union {
    rw_bytes bytes;
    bool yes;
    rw_abi_option option;
    struct {
      uint8_t kind; /* denied, invalid, timeout, too-large, failed */
      rw_bytes words;
    } error;
  };
} rw_abi_result;

RW_IMPORT("log", "write") void rw_abi_log(uint32_t level, rw_ptr, uint32_t);
RW_IMPORT("config", "get") void rw_abi_config_get(rw_ptr, uint32_t, rw_abi_option *);
RW_IMPORT("secrets", "get") void rw_abi_secrets_get(rw_ptr, uint32_t, rw_abi_result *);
RW_IMPORT("kv", "get") void rw_abi_kv_get(rw_ptr, uint32_t, rw_ptr, uint32_t, rw_abi_result *);
RW_IMPORT("crypto", "digest") void rw_abi_digest(rw_ptr, uint32_t, rw_ptr, uint32_t, rw_abi_result *);
RW_IMPORT("crypto", "hmac") void rw_abi_hmac(rw_ptr, uint32_t, rw_ptr, uint32_t, rw_ptr, uint32_t, rw_abi_result *);
RW_IMPORT("crypto", "verify")
void rw_abi_verify(rw_ptr, uint32_t, rw_ptr, uint32_t, rw_ptr, uint32_t, rw_ptr, uint32_t, rw_abi_result *);
RW_IMPORT("crypto", "equal") uint32_t rw_abi_equal(rw_ptr, uint32_t, rw_ptr, uint32_t);
RW_IMPORT("crypto", "random") void rw_abi_random(uint32_t count, rw_bytes *);
RW_IMPORT("clock", "now-ms") uint64_t rw_now_ms(void);

enum { RW_DEBUG, RW_INFO, RW_WARN, RW_ERROR };

static inline void rw_log(uint32_t level, rw_bytes words) { rw_abi_log(level, words.data, words.len); }

/* Copies an answer of the host; on failure its words go to the log and the answer is RW_NONE. */
static inline rw_bytes rw_taken(const rw_abi_result *result) {
  if (!result->err) return result->bytes;
  rw_log(RW_ERROR, result->error.words);
  return RW_NONE;
}

/* What the operator wrote under `config`; RW_NONE when there is no such key. */
static inline rw_bytes rw_config(rw_bytes key) {
  rw_abi_option option;
  rw_abi_config_get(key.data, key.len, &option);
  return option.some ? option.value : RW_NONE;
}

static inline rw_bytes rw_secret(rw_bytes name) {
  rw_abi_result result;
  rw_abi_secrets_get(name.data, name.len, &result);
  return rw_taken(&result);
}

/* RW_NONE: no such key, or the store cannot be read (the log says why). */
static inline rw_bytes rw_kv_get(rw_bytes store, rw_bytes key) {
  rw_abi_result result;
  rw_abi_kv_get(store.data, store.len, key.data, key.len, &result);
  if (result.err) return rw_taken(&result);
  return result.option.some ? result.option.value : RW_NONE;
}

/* `algorithm`: md5, sha1, sha256, sha384 or sha512. */
static inline rw_bytes rw_digest(rw_bytes algorithm, rw_bytes data) {
  rw_abi_result result;
  rw_abi_digest(algorithm.data, algorithm.len, data.data, data.len, &result);
  return rw_taken(&result);
}

static inline rw_bytes rw_hmac(rw_bytes algorithm, rw_bytes key, rw_bytes data) {
  rw_abi_result result;
  rw_abi_hmac(algorithm.data, algorithm.len, key.data, key.len, data.data, data.len, &result);
  return rw_taken(&result);
}

/* `algorithm`: RS256, ES256, …; `key`: PEM or JWK. */
static inline bool rw_verify(rw_bytes algorithm, rw_bytes key, rw_bytes data, rw_bytes signature) {
  rw_abi_result result;
  rw_abi_verify(algorithm.data, algorithm.len, key.data, key.len, data.data, data.len, signature.data, signature.len, &result);
  if (result.err) return rw_taken(&result), false;
  return result.yes;
}

/* In constant time. */
static inline bool rw_secret_equal(rw_bytes a, rw_bytes b) { return rw_abi_equal(a.data, a.len, b.data, b.len); }

static inline rw_bytes rw_random(uint32_t count) {
  rw_bytes bytes;
  rw_abi_random(count, &bytes);
  return bytes;
}

/* --- The module's exports ------------------------------------------------------------------------------------------------ */

/* Reads the input, which the host wrote: its lengths can be trusted. */
static rw_bytes rw_take(const uint8_t **at) {
  uint32_t len;
  __builtin_memcpy(&len, *at, 4);
  rw_bytes bytes = {*at + 4, len};
  *at += 4 + len;
  return bytes;
}

static rw_fields rw_take_fields(const uint8_t **at) {
  uint32_t count;
  __builtin_memcpy(&count, *at, 4);
  *at += 4;
  rw_field *fields = rw_alloc(count * sizeof(rw_field));
  for (uint32_t i = 0; i < count; i++) fields[i].name = rw_take(at), fields[i].value = rw_take(at);
  return (rw_fields){fields, count};
}

static uint64_t rw_run(const uint8_t *at, void (*hook)(const rw_message *, rw_answer *)) {
  rw_message m = {.event = at[1]};
  at += 2;
  m.request_id = rw_take(&at), m.client_ip = rw_take(&at), m.method = rw_take(&at);
  m.uri = rw_take(&at), m.query = rw_take(&at), m.request = rw_take_fields(&at);
  uint8_t body = *at++;
  m.has_body = body != 0, m.truncated = body == 2;
  if (body) m.body = rw_take(&at);
  if (m.event >= RW_ORIGIN_RESPONSE) {
    __builtin_memcpy(&m.status, at, 2);
    at += 2;
    m.response = rw_take_fields(&at);
  }
  rw_answer out = {.data = rw_alloc(512), .room = 512};
  rw_put_u8(&out, 1);
  hook(&m, &out);
  rw_answered = true;
  return (uint64_t)(uint32_t)out.data << 32 | out.len;
}

/* Exports `hook` as the flat world's function. Once a module. */
#define RW_EXPORT(hook)                                                                                                    \
  __attribute__((export_name("alloc"))) void *rw_export_alloc(uint32_t len) {                                              \
    if (rw_answered) rw_answered = false, rw_top = 0; /* A new call: what the last one used is free. */                    \
    return rw_alloc(len);                                                                                                  \
  }                                                                                                                        \
  __attribute__((export_name("flat"))) uint64_t rw_export_flat(const uint8_t *input, uint32_t len) {                       \
    (void)len;                                                                                                             \
    return rw_run(input, hook);                                                                                            \
  }

#endif

// JSON of events and results, for the shapes they have: plain objects, arrays, strings. QuickJS's sources are part of this file, so
// that objects can be filled and read without its general paths. What is unusual (getters, toJSON, proxies, other classes, numbers
// with fractions) is left to QuickJS.
// With its memory (alloc.c), which it takes and gives back without a pointer between (build.sh).
#include "alloc.c"
#include "quickjs.c"

// Values within values. Events have nine.
#define DEPTH 64

static const uint8_t *at, *end;

static JSValue read_value(int depth);

static void skip_space(void) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
}

static JSValue bad(void) { return JS_ThrowSyntaxError(ctx, "the event is not JSON"); }

// Eight bytes at once. Each gives the high bit of the bytes that are so, and perhaps of some above the lowest that is.
#define EACH(b) (0x0101010101010101u * (b))
#define BELOW(x, n) (((x) - EACH(n)) & ~(x) & EACH(0x80))
#define EQUAL(x, b) BELOW((x) ^ EACH(b), 1)

static uint64_t eight(const uint8_t *p) {
  uint64_t x;
  memcpy(&x, p, 8);
  return x;
}

// A token that QuickJS reads.
static JSValue read_slowly(const uint8_t *from, const uint8_t *to) {
  char *copy = strndup((const char *)from, (size_t)(to - from));
  if (!copy) return JS_ThrowOutOfMemory(ctx);
  JSValue v = JS_ParseJSON(ctx, copy, (size_t)(to - from), "event");
  free(copy);
  return v;
}

// Past the closing quote. `plain`: ASCII without escapes.
static const uint8_t *scan_string(const uint8_t *p, bool *plain, bool *escaped) {
  uint8_t seen = 0;
  *escaped = false;
  uint64_t many = 0;
  for (; end - p >= 8; p += 8) {
    uint64_t x = eight(p);
    if (EQUAL(x, '"') | EQUAL(x, '\\')) break;
    many |= x;
  }
  if (many & EACH(0x80)) seen = 0x80;
  while (p < end && *p != '"') {
    if (*p == '\\') {
      *escaped = true;
      p++;
    }
    seen |= *p++;
  }
  *plain = seen < 0x80 && !*escaped;
  return p < end ? p + 1 : NULL;
}

static JSValue read_string(void) {
  bool plain, escaped;
  const uint8_t *from = at, *to = scan_string(at + 1, &plain, &escaped);
  if (!to) return bad();
  at = to;
  if (escaped) return read_slowly(from, to);
  size_t len = (size_t)(to - from) - 2;
  if (!plain || !len) return JS_NewStringLen(ctx, (const char *)from + 1, len);
  JSString *s = js_alloc_string(ctx, (int)len, 0);
  if (!s) return JS_EXCEPTION;
  memcpy(str8(s), from + 1, len);
  str8(s)[len] = 0;
  return JS_MKPTR(JS_TAG_STRING, s);
}

static JSAtom read_key(void) {
  bool plain, escaped;
  const uint8_t *from = at, *to = at < end && *at == '"' ? scan_string(at + 1, &plain, &escaped) : NULL;
  if (!to) {
    bad();
    return JS_ATOM_NULL;
  }
  if (plain) {
    at = to;
    return JS_NewAtomLen(ctx, (const char *)from + 1, (size_t)(to - from) - 2);
  }
  JSValue v = read_string();
  if (JS_IsException(v)) return JS_ATOM_NULL;
  JSAtom atom = JS_ValueToAtom(ctx, v);
  JS_FreeValue(ctx, v);
  return atom;
}

static bool set(JSObject *o, JSAtom key, JSValue v) {
  JSProperty *slot;
  if (find_own_property(&slot, o, key)) { // the last one counts
    JS_FreeValue(ctx, slot->u.value);
    slot->u.value = v;
    return true;
  }
  slot = add_property(ctx, o, key, JS_PROP_C_W_E);
  if (!slot) {
    JS_FreeValue(ctx, v);
    return false;
  }
  slot->u.value = v;
  return true;
}

// {"key":…,"value":…} as events have one for each line of a header: its shape is known, and so are its names.
static JSShape *pair_shape;
static const char PAIR_KEY[] = "{\"key\":\"", PAIR_VALUE[] = ",\"value\":\"";

void json_init(void) {
  JSValue pair = JS_NewObject(ctx);
  JS_DefinePropertyValueStr(ctx, pair, "key", JS_NULL, JS_PROP_C_W_E);
  JS_DefinePropertyValueStr(ctx, pair, "value", JS_NULL, JS_PROP_C_W_E);
  pair_shape = js_dup_shape(JS_VALUE_GET_OBJ(pair)->shape); // never freed
  JS_FreeValue(ctx, pair);
}

static bool ahead(const char *text, size_t len) { return (size_t)(end - at) >= len && !memcmp(at, text, len); }

// JS_UNDEFINED: it is another object, and nothing was read.
static JSValue read_pair(void) {
  const uint8_t *from = at;
  if (!ahead(PAIR_KEY, sizeof PAIR_KEY - 1)) return JS_UNDEFINED;
  at += sizeof PAIR_KEY - 2;
  JSValue key = read_string(), value = JS_UNDEFINED;
  if (!JS_IsException(key) && ahead(PAIR_VALUE, sizeof PAIR_VALUE - 1)) {
    at += sizeof PAIR_VALUE - 2;
    value = read_string();
    if (JS_IsString(value) && ahead("}", 1)) {
      at++;
      JSValue pair = JS_NewObjectFromShape(ctx, js_dup_shape(pair_shape), JS_CLASS_OBJECT, NULL);
      if (!JS_IsException(pair)) {
        JSProperty *slots = JS_VALUE_GET_OBJ(pair)->prop;
        slots[0].u.value = key, slots[1].u.value = value;
        return pair;
      }
      JS_FreeValue(ctx, value);
      value = JS_EXCEPTION;
    }
  }
  bool bad = JS_IsException(key) || JS_IsException(value);
  JS_FreeValue(ctx, key);
  JS_FreeValue(ctx, value);
  if (bad) return JS_EXCEPTION;
  at = from;
  return JS_UNDEFINED;
}

static JSValue read_object(int depth) {
  JSValue object = read_pair();
  if (!JS_IsUndefined(object)) return object;
  object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  at++;
  skip_space();
  if (at < end && *at == '}') return at++, object;
  for (;;) {
    skip_space();
    JSAtom key = read_key();
    if (key == JS_ATOM_NULL) break;
    skip_space();
    JSValue v = at < end && *at == ':' ? (at++, read_value(depth + 1)) : bad();
    bool ok = !JS_IsException(v) && set(JS_VALUE_GET_OBJ(object), key, v);
    JS_FreeAtom(ctx, key);
    if (!ok) break;
    skip_space();
    if (at < end && *at == '}') return at++, object;
    if (at >= end || *at++ != ',') {
      bad();
      break;
    }
  }
  JS_FreeValue(ctx, object);
  return JS_EXCEPTION;
}

static JSValue read_array(int depth) {
  JSValue array = JS_NewArray(ctx);
  if (JS_IsException(array)) return array;
  at++;
  skip_space();
  if (at < end && *at == ']') return at++, array;
  for (uint32_t i = 0;; i++) {
    JSValue v = read_value(depth + 1);
    if (JS_IsException(v) || JS_DefinePropertyValueUint32(ctx, array, i, v, JS_PROP_C_W_E) < 0) break;
    skip_space();
    if (at < end && *at == ']') return at++, array;
    if (at >= end || *at++ != ',') {
      bad();
      break;
    }
  }
  JS_FreeValue(ctx, array);
  return JS_EXCEPTION;
}

static JSValue read_word(void) {
  const uint8_t *from = at;
  while (at < end && *at != ',' && *at != '}' && *at != ']' && *at > ' ') at++;
  size_t len = (size_t)(at - from);
  if (len == 4 && !memcmp(from, "true", 4)) return JS_TRUE;
  if (len == 5 && !memcmp(from, "false", 5)) return JS_FALSE;
  if (len == 4 && !memcmp(from, "null", 4)) return JS_NULL;
  int32_t n = 0;
  size_t i = 0;
  for (; i < len && i < 9 && from[i] >= '0' && from[i] <= '9'; i++) n = n * 10 + (from[i] - '0');
  if (i == len && len && (len == 1 || *from != '0')) return JS_NewInt32(ctx, n);
  return len ? read_slowly(from, at) : bad();
}

static JSValue read_value(int depth) {
  skip_space();
  if (at >= end || depth > DEPTH) return bad();
  switch (*at) {
  case '{': return read_object(depth);
  case '[': return read_array(depth);
  case '"': return read_string();
  default: return read_word();
  }
}

JSValue json_read(const char *text, size_t len) {
  at = (const uint8_t *)text, end = at + len;
  JSValue v = read_value(0);
  if (JS_IsException(v)) return v;
  skip_space();
  if (at == end) return v;
  JS_FreeValue(ctx, v);
  return bad();
}

// --- writing

// Bytes of a result's text that are there at once.
#define FIRST 4096

static char *out;
static size_t used, room;

static bool grow(size_t more) {
  if (more > LARGEST / 2 - used) return false;
  if (used + more <= room) return true;
  size_t want = (used + more) * 2;
  if (want < FIRST) want = FIRST;
  char *bigger = realloc(out, want);
  if (!bigger) return false;
  out = bigger, room = want;
  return true;
}

static bool put(const char *text, size_t len) {
  if (!grow(len)) return false;
  memcpy(out + used, text, len);
  used += len;
  return true;
}

static void put_unit(uint32_t c) {
  static const char hex[] = "0123456789abcdef";
  char *p = out + used;
  if (c == '"' || c == '\\') p[0] = '\\', p[1] = (char)c, used += 2;
  else if (c < 0x20) {
    const char *one = c == '\b' ? "\\b" : c == '\f' ? "\\f" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
    if (one) memcpy(p, one, 2), used += 2;
    else memcpy(p, "\\u00", 4), p[4] = hex[c >> 4], p[5] = hex[c & 15], used += 6;
  } else if (c < 0x80) p[0] = (char)c, used += 1;
  else if (c < 0x800) p[0] = (char)(0xC0 | c >> 6), p[1] = (char)(0x80 | (c & 63)), used += 2;
  else if (c >= 0xD800 && c < 0xE000) { // a surrogate alone
    memcpy(p, "\\ud", 3), p[3] = hex[c >> 8 & 15], p[4] = hex[c >> 4 & 15], p[5] = hex[c & 15], used += 6;
  } else if (c < 0x10000) p[0] = (char)(0xE0 | c >> 12), p[1] = (char)(0x80 | (c >> 6 & 63)), p[2] = (char)(0x80 | (c & 63)), used += 3;
  else p[0] = (char)(0xF0 | c >> 18), p[1] = (char)(0x80 | (c >> 12 & 63)), p[2] = (char)(0x80 | (c >> 6 & 63)), p[3] = (char)(0x80 | (c & 63)), used += 4;
}

static bool put_string(JSString *s) {
  size_t len = s->len;
  if (len > LARGEST / 16 || !grow(len * 6 + 2)) return false;
  out[used++] = '"';
  if (!s->is_wide_char) {
    const uint8_t *p = str8(s);
    for (size_t i = 0; i < len;) {
      if (len - i >= 8) {
        uint64_t x = eight(p + i);
        if (!(x & EACH(0x80) | BELOW(x, 0x20) | EQUAL(x, '"') | EQUAL(x, '\\'))) {
          memcpy(out + used, &x, 8);
          used += 8, i += 8;
          continue;
        }
      }
      size_t to = len - i < 8 ? len : i + 8;
      for (; i < to; i++) if (p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\') out[used++] = (char)p[i];
        else put_unit(p[i]);
    }
  } else {
    const uint16_t *p = str16(s);
    for (size_t i = 0; i < len; i++) {
      uint32_t c = p[i];
      if (c >= 0xD800 && c < 0xDC00 && i + 1 < len && p[i + 1] >= 0xDC00 && p[i + 1] < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10 | (p[i + 1] - 0xDC00));
        i++;
      }
      put_unit(c);
    }
  }
  out[used++] = '"';
  return true;
}

static bool put_text(JSValueConst v) {
  if (JS_VALUE_GET_TAG(v) == JS_TAG_STRING) return put_string(JS_VALUE_GET_STRING(v));
  JSValue flat = JS_ToString(ctx, v); // a rope
  if (JS_IsException(flat)) {
    JS_FreeValue(ctx, JS_GetException(ctx));
    return false;
  }
  bool ok = JS_VALUE_GET_TAG(flat) == JS_TAG_STRING && put_string(JS_VALUE_GET_STRING(flat));
  JS_FreeValue(ctx, flat);
  return ok;
}

static bool has_to_json(JSObject *o) {
  JSProperty *slot;
  return find_own_property(&slot, o, JS_ATOM_toJSON) != NULL;
}

// Whether an object of that class is what it looks like.
static bool ordinary(JSObject *o, JSClassID class) {
  JSObject *proto = o->shape->proto;
  return o->class_id == class && (class == JS_CLASS_ARRAY || !o->is_exotic) && !has_to_json(o) && (!proto || proto == JS_VALUE_GET_OBJ(ctx->class_proto[class]));
}

static bool left_out(JSValueConst v) {
  return JS_IsUndefined(v) || JS_IsSymbol(v) || JS_IsFunction(ctx, v);
}

static bool put_value(JSValueConst v, int depth);

static bool put_object(JSObject *o, int depth) {
  JSShapeProperty *p = o->shape->prop;
  bool first = true;
  if (!put("{", 1)) return false;
  for (int i = 0; i < o->shape->prop_count; i++, p++) {
    if (p->atom == JS_ATOM_NULL || !(p->flags & JS_PROP_ENUMERABLE)) continue;
    if (__JS_AtomIsTaggedInt(p->atom) || (p->flags & JS_PROP_TMASK)) return false;
    JSString *key = rt->atom_array[p->atom];
    if (key->atom_type != JS_ATOM_TYPE_STRING) continue;
    JSValueConst member = o->prop[i].u.value;
    if (left_out(member)) continue;
    if ((!first && !put(",", 1)) || !put_string(key) || !put(":", 1) || !put_value(member, depth + 1)) return false;
    first = false;
  }
  return put("}", 1);
}

static bool put_array(JSObject *o, int depth) {
  if (!o->fast_array || !put("[", 1)) return false;
  for (uint32_t i = 0; i < o->u.array.count; i++) {
    JSValueConst member = o->u.array.u.values[i];
    if (i && !put(",", 1)) return false;
    if (left_out(member) ? !put("null", 4) : !put_value(member, depth + 1)) return false;
  }
  return put("]", 1);
}

static bool put_value(JSValueConst v, int depth) {
  char number[16];
  switch (JS_VALUE_GET_NORM_TAG(v)) {
  case JS_TAG_STRING: case JS_TAG_STRING_ROPE: return put_text(v);
  case JS_TAG_INT: return put(number, (size_t)snprintf(number, sizeof number, "%d", JS_VALUE_GET_INT(v)));
  case JS_TAG_BOOL: return JS_VALUE_GET_BOOL(v) ? put("true", 4) : put("false", 5);
  case JS_TAG_NULL: return put("null", 4);
  case JS_TAG_OBJECT: break;
  default: return false;
  }
  if (depth > DEPTH) return false;
  JSObject *o = JS_VALUE_GET_OBJ(v);
  if (ordinary(o, JS_CLASS_OBJECT)) return put_object(o, depth);
  // An array's length may be more than it has elements.
  if (ordinary(o, JS_CLASS_ARRAY) && JS_VALUE_GET_TAG(o->prop[0].u.value) == JS_TAG_INT &&
      (uint32_t)JS_VALUE_GET_INT(o->prop[0].u.value) == o->u.array.count) return put_array(o, depth);
  return false;
}

void json_begin(void) { used = 0; }
bool json_add(const char *text, size_t len) { return put(text, len); }

// Writes behind what is there. 0: `null` for what JSON has no word for; -1: an exception.
int json_write(JSValueConst v) {
  size_t before = used;
  bool odd = has_to_json(JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_OBJECT])) || has_to_json(JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_ARRAY]));
  if (left_out(v)) return put("null", 4) ? 0 : -1;
  if (!odd && put_value(v, 0)) return 0;
  used = before;
  JSValue text = JS_JSONStringify(ctx, v, JS_UNDEFINED, JS_UNDEFINED);
  if (JS_IsException(text)) return -1;
  size_t len;
  const char *s = JS_IsString(text) ? JS_ToCStringLen(ctx, &len, text) : NULL;
  bool ok = JS_IsString(text) ? s && put(s, len) : put("null", 4);
  if (s) JS_FreeCString(ctx, s);
  JS_FreeValue(ctx, text);
  if (!ok) JS_ThrowOutOfMemory(ctx);
  return ok ? 0 : -1;
}

const char *json_text(size_t *len) {
  *len = used;
  return out;
}

// Compiling files of the bundle and of the engine, and ES modules. What a specifier means is decided in node/boot.js.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

// Lines are counted so that the user's first line is 1: two lines of wrapping come before it.
#define FIRST_LINE -1

static const char CJS_HEAD[] = "(function (exports, require, module, __filename, __dirname) {\n\n";
static const char CJS_STRICT[] = "(function (exports, require, module, __filename, __dirname) {'use strict';\n\n";
// A global `handler` is how CloudFront Functions are written.
static const char CJS_TAIL[] = "\n;return typeof handler === 'function' ? handler : undefined})";
static const char ESM_TAIL[] = "\n;import.meta.handler = typeof handler === 'function' ? handler : undefined;";
static const char SHIM_HEAD[] = "(function (host, require, module, exports) {'use strict';\n\n";
static const char SHIM_TAIL[] = "\n})";

static JSValue resolve_hook, load_hook;

static JSValue compile(const char *head, const File *file, const char *tail, const char *name, int flags, int line) {
  size_t h = strlen(head), t = strlen(tail), len = h + file->len + t;
  char *text = malloc(len + 1);
  if (!text) return JS_ThrowOutOfMemory(ctx);
  memcpy(text, head, h);
  memcpy(text + h, file->data, file->len);
  memcpy(text + h + file->len, tail, t + 1);
  if (file->len > 1 && text[h] == '#' && text[h + 1] == '!') text[h] = text[h + 1] = '/';
  JSEvalOptions options = {JS_EVAL_OPTIONS_VERSION, flags, name, line};
  JSValue v = JS_Eval2(ctx, text, len, &options);
  free(text);
  return v;
}

static JSValue missing(const char *name) { return JS_ThrowReferenceError(ctx, "no file '%s'", name); }

// After the file failed to compile within its wrapping: what is wrong with the file by itself, in whose words no brace of the wrapping is
// unexpected. A `return` or `new.target` outside of functions is right within the wrapping alone.
static JSValue by_itself(const File *file, const char *name, int flags) {
  JSValue wrapped = JS_GetException(ctx);
  JSValue v = compile("", file, "", name, flags | JS_EVAL_FLAG_COMPILE_ONLY, 1);
  if (JS_IsException(v)) {
    JSValue own = JS_GetException(ctx);
    const char *said = JS_ToCString(ctx, own);
    bool better = said && !strstr(said, "return not in a function") && !strstr(said, "new.target");
    if (said && strstr(said, "token in expression: ''")) {
      JS_SetPropertyStr(ctx, own, "message", JS_NewString(ctx, "the file ends where something is not closed"));
    }
    JS_FreeCString(ctx, said);
    JS_FreeValue(ctx, better ? wrapped : own);
    return JS_Throw(ctx, better ? own : wrapped);
  }
  JS_FreeValue(ctx, v);
  return JS_Throw(ctx, wrapped);
}

static JSValue compile_cjs(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  const File *file = bundle_find(name);
  const char *head = argc > 1 && JS_ToBool(ctx, argv[1]) ? CJS_STRICT : CJS_HEAD;
  JSValue v = file ? compile(head, file, CJS_TAIL, name, JS_EVAL_TYPE_GLOBAL, FIRST_LINE) : missing(name);
  if (file && JS_IsException(v)) v = by_itself(file, name, JS_EVAL_TYPE_GLOBAL);
  JS_FreeCString(ctx, name);
  return v;
}

static JSValue compile_shim(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  char shown[64];
  snprintf(shown, sizeof shown, "node:%s", name);
  const File *file = shim_find(name);
  JSValue v = file ? compile(SHIM_HEAD, file, SHIM_TAIL, shown, JS_EVAL_TYPE_GLOBAL, FIRST_LINE) : missing(name);
  JS_FreeCString(ctx, name);
  return v;
}

static int set_meta(JSModuleDef *m, const char *name) {
  JSValue meta = JS_GetImportMeta(ctx, m);
  if (JS_IsException(meta)) return -1;
  char url[1024], *slash;
  snprintf(url, sizeof url, "file:///var/task/%s", name);
  JS_DefinePropertyValueStr(ctx, meta, "url", JS_NewString(ctx, url), JS_PROP_C_W_E);
  JS_DefinePropertyValueStr(ctx, meta, "filename", JS_NewString(ctx, url + 7), JS_PROP_C_W_E);
  if ((slash = strrchr(url, '/'))) *slash = 0;
  JS_DefinePropertyValueStr(ctx, meta, "dirname", JS_NewString(ctx, url + 7), JS_PROP_C_W_E);
  JS_FreeValue(ctx, meta);
  return 0;
}

static JSValue compile_esm(const char *name) {
  const File *file = bundle_find(name);
  if (!file) return missing(name);
  JSValue v = compile("", file, ESM_TAIL, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY, 1);
  if (JS_IsException(v)) v = by_itself(file, name, JS_EVAL_TYPE_MODULE);
  if (!JS_IsException(v) && set_meta(JS_VALUE_GET_PTR(v), name) < 0) return JS_EXCEPTION;
  return v;
}

// importModule(name): [promise of its evaluation, its namespace, import.meta].
static JSValue import_module(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  JSValue v = compile_esm(name);
  JS_FreeCString(ctx, name);
  if (JS_IsException(v)) return v;
  JSModuleDef *m = JS_VALUE_GET_PTR(v);
  JSValue done = JS_EvalFunction(ctx, v);
  if (JS_IsException(done)) return done;
  JSValue result[3] = {done, JS_GetModuleNamespace(ctx, m), JS_GetImportMeta(ctx, m)};
  return JS_NewArrayFrom(ctx, 3, result);
}

static char *normalize(JSContext *c, const char *base, const char *name, void *opaque) {
  JSValue argv[2] = {JS_NewString(ctx, base), JS_NewString(ctx, name)};
  JSValue v = JS_Call(ctx, resolve_hook, JS_UNDEFINED, 2, argv);
  JS_FreeValue(ctx, argv[0]);
  JS_FreeValue(ctx, argv[1]);
  if (JS_IsException(v)) return NULL;
  const char *s = JS_ToCString(ctx, v);
  JS_FreeValue(ctx, v);
  char *copy = s ? js_strdup(ctx, s) : NULL;
  if (s) JS_FreeCString(ctx, s);
  return copy;
}

typedef struct {
  JSPropertyEnum *list;
  uint32_t count;
} Keys;

static Keys keys_of(JSValueConst v) {
  Keys keys = {NULL, 0};
  if (JS_IsObject(v) && JS_GetOwnPropertyNames(ctx, &keys.list, &keys.count, v, JS_GPN_STRING_MASK) < 0) keys.count = 0;
  return keys;
}

static int fill(JSContext *c, JSModuleDef *m) {
  JSValue v = JS_GetModulePrivateValue(ctx, m);
  Keys keys = keys_of(v);
  for (uint32_t i = 0; i < keys.count; i++) {
    const char *name = JS_AtomToCString(ctx, keys.list[i].atom);
    if (name && strcmp(name, "default")) {
      JSValue member = JS_GetProperty(ctx, v, keys.list[i].atom);
      if (JS_IsException(member)) JS_FreeValue(ctx, JS_GetException(ctx)), member = JS_UNDEFINED;
      JS_SetModuleExport(ctx, m, name, member);
    }
    if (name) JS_FreeCString(ctx, name);
  }
  JS_FreePropertyEnum(ctx, keys.list, keys.count);
  JS_SetModuleExport(ctx, m, "default", v);
  return 0;
}

// What `require` gives, as a module: every member by name, and the whole as default.
static JSModuleDef *wrap(const char *name, JSValue exports) {
  JSModuleDef *m = JS_NewCModule(ctx, name, fill);
  if (!m) {
    JS_FreeValue(ctx, exports);
    return NULL;
  }
  Keys keys = keys_of(exports);
  for (uint32_t i = 0; i < keys.count; i++) {
    const char *member = JS_AtomToCString(ctx, keys.list[i].atom);
    if (member && strcmp(member, "default")) JS_AddModuleExport(ctx, m, member);
    if (member) JS_FreeCString(ctx, member);
  }
  JS_FreePropertyEnum(ctx, keys.list, keys.count);
  JS_AddModuleExport(ctx, m, "default");
  JS_SetModulePrivateValue(ctx, m, exports);
  return m;
}

// The hook gives undefined for an ES module of the bundle, else [exports].
static JSModuleDef *load(JSContext *c, const char *name, void *opaque, JSValueConst attributes) {
  JSValue arg = JS_NewString(ctx, name);
  JSValue v = JS_Call(ctx, load_hook, JS_UNDEFINED, 1, &arg);
  JS_FreeValue(ctx, arg);
  if (JS_IsException(v)) return NULL;
  if (!JS_IsUndefined(v)) {
    JSValue exports = JS_GetPropertyUint32(ctx, v, 0);
    JS_FreeValue(ctx, v);
    return wrap(name, exports);
  }
  v = compile_esm(name);
  if (JS_IsException(v)) return NULL;
  JSModuleDef *m = JS_VALUE_GET_PTR(v);
  JS_FreeValue(ctx, v);
  return m;
}

static JSValue set_hooks(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  resolve_hook = JS_DupValue(ctx, argv[0]);
  load_hook = JS_DupValue(ctx, argv[1]);
  return JS_UNDEFINED;
}

static JSValue file_names(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  JSValue list = JS_NewArray(ctx);
  for (size_t i = 0; i < bundle.count; i++) JS_SetPropertyUint32(ctx, list, (uint32_t)i, JS_NewString(ctx, bundle.files[i].name));
  return list;
}

// file(name): its bytes, a copy; undefined when there is none.
static JSValue file_bytes(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  const File *file = bundle_find(name);
  JS_FreeCString(ctx, name);
  return file ? JS_NewUint8ArrayCopy(ctx, file->data, file->len) : JS_UNDEFINED;
}

static JSValue has_shim(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (!name) return JS_EXCEPTION;
  bool found = shim_find(name) != NULL;
  JS_FreeCString(ctx, name);
  return JS_NewBool(ctx, found);
}

void modules_init(void) {
  resolve_hook = load_hook = JS_UNDEFINED;
  JS_SetModuleLoaderFunc2(rt, normalize, load, NULL, NULL);
}

void modules_define(JSValueConst host) {
  JS_SetPropertyStr(ctx, host, "compileCjs", JS_NewCFunction(ctx, compile_cjs, "compileCjs", 2));
  JS_SetPropertyStr(ctx, host, "compileShim", JS_NewCFunction(ctx, compile_shim, "compileShim", 1));
  JS_SetPropertyStr(ctx, host, "importModule", JS_NewCFunction(ctx, import_module, "importModule", 1));
  JS_SetPropertyStr(ctx, host, "setHooks", JS_NewCFunction(ctx, set_hooks, "setHooks", 2));
  JS_SetPropertyStr(ctx, host, "files", JS_NewCFunction(ctx, file_names, "files", 0));
  JS_SetPropertyStr(ctx, host, "file", JS_NewCFunction(ctx, file_bytes, "file", 1));
  JS_SetPropertyStr(ctx, host, "hasShim", JS_NewCFunction(ctx, has_shim, "hasShim", 1));
}

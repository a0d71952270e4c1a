// Modules of Node that cannot work here. Packages that only name them load; what they come to use says that it is not there.
// Names: what is imported by name. A capital: a class or a constant.
const NAMES = {
  child_process: 'ChildProcess exec execFile execFileSync execSync fork spawn spawnSync',
  cluster: 'fork setupPrimary Worker',
  dgram: 'Socket createSocket',
  dns: 'Resolver getServers lookup lookupService resolve resolve4 resolve6 resolveAny resolveCname resolveMx resolveNs resolveSrv resolveTxt reverse setServers',
  'dns/promises': 'Resolver getServers lookup lookupService resolve resolve4 resolve6 resolveTxt reverse setServers',
  domain: 'Domain create',
  http2: 'Http2ServerRequest Http2ServerResponse connect createSecureServer createServer getDefaultSettings',
  inspector: 'Session close open url waitForDebugger',
  readline: 'Interface clearLine createInterface cursorTo moveCursor',
  'readline/promises': 'Interface Readline createInterface',
  repl: 'REPLServer start',
  'stream/web': 'ByteLengthQueuingStrategy CompressionStream CountQueuingStrategy DecompressionStream ReadableByteStreamController ReadableStream ReadableStreamBYOBReader ReadableStreamDefaultController ReadableStreamDefaultReader TextDecoderStream TextEncoderStream TransformStream TransformStreamDefaultController WritableStream WritableStreamDefaultController WritableStreamDefaultWriter',
  tls: 'SecureContext Server TLSSocket checkServerIdentity connect createSecureContext createServer getCiphers',
  trace_events: 'createTracing getEnabledCategories',
  v8: 'deserialize getHeapSpaceStatistics getHeapStatistics serialize setFlagsFromString',
  vm: 'Script SourceTextModule compileFunction createContext isContext runInContext runInNewContext runInThisContext',
  wasi: 'WASI',
  worker_threads: 'BroadcastChannel MessageChannel MessagePort Worker',
  zlib: 'BrotliCompress BrotliDecompress Deflate DeflateRaw Gunzip Gzip Inflate InflateRaw Unzip brotliCompress brotliCompressSync brotliDecompress brotliDecompressSync createBrotliCompress createBrotliDecompress createDeflate createDeflateRaw createGunzip createGzip createInflate createInflateRaw createUnzip crc32 deflate deflateRaw deflateRawSync deflateSync gunzip gunzipSync gzip gzipSync inflate inflateRaw inflateRawSync inflateSync unzip unzipSync',
};
// What can be said all the same.
const VALUES = {
  cluster: { isMaster: true, isPrimary: true, isWorker: false, workers: {} },
  dns: { promises: {} },
  http2: { constants: {}, sensitiveHeaders: Symbol('sensitiveHeaders') },
  tls: { DEFAULT_MAX_VERSION: 'TLSv1.3', DEFAULT_MIN_VERSION: 'TLSv1.2', rootCertificates: [] },
  worker_threads: { isMainThread: true, parentPort: null, threadId: 0, workerData: null, resourceLimits: {} },
  zlib: { constants: {}, codes: {} },
};

function missing(module, member) {
  // A function that can be called, extended and constructed, to no avail.
  return { [member]: function () {
    const e = new Error(`${module}.${member} is not in this engine`);
    e.code = 'ERR_FEATURE_UNAVAILABLE';
    throw e;
  } }[member];
}

exports.names = new Set(Object.keys(NAMES));
exports.missing = missing;
exports.make = (name) => {
  const own = { ...VALUES[name] };
  for (const member of NAMES[name].split(' ')) own[member] = missing(name, member);
  own.default = own;
  return own;
};

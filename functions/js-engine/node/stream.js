// stream: Readable, Writable, Duplex, Transform, PassThrough, pipeline, finished. Data flow when somebody listens; there is no
// back-pressure, because everything within a call is in memory.
const EventEmitter = require('events');
const { Buffer } = require('buffer');

function Stream() {
  EventEmitter.call(this);
}
Object.setPrototypeOf(Stream.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Stream, EventEmitter);

// As classes that old code may also call without `new`.
function definable(Parent, own, setup) {
  function Type(options) {
    if (!(this instanceof Type)) return new Type(options);
    Parent.call(this, options);
    setup.call(this, options ?? {});
  }
  Object.setPrototypeOf(Type.prototype, Parent.prototype);
  Object.setPrototypeOf(Type, Parent);
  Object.defineProperties(Type.prototype, Object.getOwnPropertyDescriptors(own));
  Object.defineProperty(Type.prototype, 'constructor', { value: Type, writable: true, configurable: true, enumerable: false });
  return Type;
}

function nextTurn(fn) {
  queueMicrotask(fn);
}

const shared = {
  destroy(error, done) {
    if (this.destroyed) return this;
    this.destroyed = true;
    const end = (e) => {
      const failure = e ?? error;
      nextTurn(() => {
        if (failure) this.emit('error', failure);
        this.closed = true;
        this.emit('close');
      });
      done?.(failure);
    };
    if (this._destroy) this._destroy(error ?? null, end);
    else end();
    return this;
  },
};

function setupReadable(options) {
  this.readable = true;
  this.destroyed = false;
  this.readableEnded = false;
  this.readableObjectMode = !!(options.objectMode || options.readableObjectMode);
  this._queue = [];
  this._flowing = null;
  this._ended = false;
  this._reading = false;
  this._decoder = null;
  if (options.encoding) this.setEncoding(options.encoding);
  if (options.read) this._read = options.read;
  if (options.destroy) this._destroy = options.destroy;
}

const readable = {
  ...shared,
  get readableFlowing() {
    return this._flowing;
  },
  get readableLength() {
    return this._queue.reduce((n, c) => n + (this.readableObjectMode ? 1 : c.length), 0);
  },
  setEncoding(encoding) {
    const { StringDecoder } = require('string_decoder');
    this._decoder = new StringDecoder(encoding);
    this._queue = this._queue.map((c) => (typeof c === 'string' ? c : this._decoder.write(c)));
    return this;
  },
  push(chunk, encoding) {
    this._reading = false;
    if (chunk === null) {
      const rest = this._decoder?.end();
      if (rest) this._queue.push(rest);
      this._ended = true;
    } else {
      if (!this.readableObjectMode) {
        if (typeof chunk === 'string' && !this._decoder) chunk = Buffer.from(chunk, encoding);
        else if (typeof chunk !== 'string' && !(chunk instanceof Buffer)) chunk = Buffer.from(chunk);
        if (this._decoder && typeof chunk !== 'string') chunk = this._decoder.write(chunk);
        if (!chunk.length) return this._pump(), true;
      }
      this._queue.push(chunk);
    }
    this._pump();
    return true;
  },
  unshift(chunk) {
    this._queue.unshift(chunk);
    this._pump();
  },
  _read() {},
  _pump() {
    if (this._pumping) return;
    this._pumping = true;
    nextTurn(() => {
      this._pumping = false;
      this._flow();
    });
  },
  _flow() {
    if (this.destroyed) return;
    if (this._flowing) while (this._queue.length && this._flowing) this.emit('data', this._queue.shift());
    else if (this._flowing === null && (this._queue.length || this._ended) && this.listenerCount('readable')) this.emit('readable');
    if (!this._queue.length && this._ended) return this._finish();
    if (!this._ended && !this._reading && !this._queue.length && (this._flowing || this.listenerCount('readable'))) {
      this._reading = true;
      this._read(16384);
    }
  },
  _finish() {
    if (this.readableEnded || !(this._flowing || this.listenerCount('readable'))) return;
    this.readableEnded = true;
    this.readable = false;
    nextTurn(() => {
      this.emit('end');
      if (!this.writable) this.destroy();
    });
  },
  read(size) {
    if (!this._queue.length) {
      if (this._ended) this._finish();
      else if (!this._reading) {
        this._reading = true;
        this._read(16384);
      }
      return null;
    }
    let out;
    if (this.readableObjectMode) out = this._queue.shift();
    else {
      const all = typeof this._queue[0] === 'string' ? this._queue.join('') : Buffer.concat(this._queue);
      if (size !== undefined && size < all.length) {
        out = all.slice(0, size);
        this._queue = [all.slice(size)];
      } else {
        out = all;
        this._queue = [];
      }
    }
    if (!this._queue.length) this._pump();
    return out;
  },
  on(name, listener) {
    EventEmitter.prototype.on.call(this, name, listener);
    if (name === 'data' && this._flowing !== false) this.resume();
    if (name === 'readable') this._pump();
    return this;
  },
  resume() {
    this._flowing = true;
    this._pump();
    return this;
  },
  pause() {
    this._flowing = false;
    return this;
  },
  isPaused() {
    return this._flowing === false;
  },
  pipe(target, options) {
    this.on('data', (chunk) => target.write(chunk));
    if (options?.end !== false) this.once('end', () => target.end());
    target.emit('pipe', this);
    return target;
  },
  unpipe() {
    this.removeAllListeners('data');
    return this;
  },
  async *[Symbol.asyncIterator]() {
    const waiting = [];
    let wake = null, over = false, failure;
    const notify = () => wake?.();
    this.on('data', (chunk) => (waiting.push(chunk), notify()));
    this.once('end', () => ((over = true), notify()));
    this.once('error', (e) => ((failure = e), (over = true), notify()));
    this.once('close', () => ((over = true), notify()));
    for (;;) {
      if (waiting.length) yield waiting.shift();
      else if (failure) throw failure;
      else if (over) return;
      else await new Promise((resolve) => (wake = resolve));
    }
  },
  async toArray() {
    const out = [];
    for await (const chunk of this) out.push(chunk);
    return out;
  },
};
readable.addListener = readable.on;

const Readable = definable(Stream, readable, setupReadable);

Readable.from = (source, options) => {
  const list = typeof source === 'string' || source instanceof Uint8Array ? [source] : source;
  const iterator = (list[Symbol.asyncIterator] ?? list[Symbol.iterator]).call(list);
  return new Readable({
    objectMode: true, ...options,
    read() {
      Promise.resolve(iterator.next()).then(async ({ done, value }) => this.push(done ? null : await value)).catch((e) => this.destroy(e));
    },
  });
};

function setupWritable(options) {
  this.writable = true;
  this.destroyed = false;
  this.writableEnded = false;
  this.writableFinished = false;
  this.writableObjectMode = !!(options.objectMode || options.writableObjectMode);
  this._decodeStrings = options.decodeStrings !== false;
  this._autoDestroy = options.autoDestroy !== false;
  this._encoding = options.defaultEncoding ?? 'utf8';
  this._pending = [];
  this._busy = false;
  this._final ??= undefined;
  if (options.write) this._write = options.write;
  if (options.writev) this._writev = options.writev;
  if (options.final) this._final = options.final;
  if (options.destroy) this._destroy = options.destroy;
}

const writable = {
  ...shared,
  get writableLength() {
    return this._pending.length;
  },
  write(chunk, encoding, done) {
    if (typeof encoding === 'function') [done, encoding] = [encoding, undefined];
    if (chunk === null) throw Object.assign(new TypeError('May not write null values to stream'), { code: 'ERR_STREAM_NULL_VALUES' });
    if (this.writableEnded) {
      const e = Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' });
      done?.(e);
      this.destroy(e);
      return false;
    }
    if (!this.writableObjectMode && this._decodeStrings && typeof chunk === 'string') {
      chunk = Buffer.from(chunk, encoding ?? this._encoding);
      encoding = 'buffer';
    } else if (chunk instanceof Uint8Array) encoding = 'buffer';
    this._pending.push({ chunk, encoding: encoding ?? this._encoding, done });
    this._drain();
    return true;
  },
  _drain() {
    if (this._busy || this.destroyed) return;
    const next = this._pending.shift();
    if (!next) {
      if (this.writableEnded && !this.writableFinished && !this._finishing) this._close();
      return;
    }
    this._busy = true;
    let sync = true;
    const after = (error) => {
      this._busy = false;
      next.done?.(error ?? null);
      if (error) return this.destroy(error);
      if (sync) nextTurn(() => this._drain());
      else this._drain();
    };
    if (this._write) this._write(next.chunk, next.encoding, after);
    else this._writev([next], after);
    sync = false;
  },
  _close() {
    this._finishing = true;
    const done = (error) => {
      if (error) return this.destroy(error);
      this.writableFinished = true;
      this.writable = false;
      nextTurn(() => {
        this.emit('finish');
        if (this._autoDestroy && (!this.readable || this._queue === undefined)) this.destroy();
      });
    };
    if (this._final) this._final(done);
    else done();
  },
  end(chunk, encoding, done) {
    if (typeof chunk === 'function') [done, chunk] = [chunk, undefined];
    else if (typeof encoding === 'function') [done, encoding] = [encoding, undefined];
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    if (done) this.once('finish', done);
    this.writableEnded = true;
    nextTurn(() => this._drain());
    return this;
  },
  cork() {},
  uncork() {},
  setDefaultEncoding(encoding) {
    this._encoding = encoding;
    return this;
  },
};

const Writable = definable(Stream, writable, setupWritable);

const duplex = Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(writable) });
const Duplex = definable(Readable, duplex, function (options) {
  setupWritable.call(this, options);
});
Object.defineProperty(Writable, Symbol.hasInstance, {
  value(instance) {
    return Function.prototype[Symbol.hasInstance].call(this, instance) || (this === Writable && instance instanceof Duplex);
  },
});

const Transform = definable(Duplex, {
  _write(chunk, encoding, done) {
    this._transform(chunk, encoding, (error, out) => {
      if (!error && out !== undefined && out !== null) this.push(out);
      done(error);
    });
  },
  _final(done) {
    const end = (error, out) => {
      if (out !== undefined && out !== null) this.push(out);
      if (!error) this.push(null);
      done(error);
    };
    if (this._flush) this._flush(end);
    else end();
  },
}, function (options) {
  if (options.transform) this._transform = options.transform;
  if (options.flush) this._flush = options.flush;
});

const PassThrough = definable(Transform, {
  _transform(chunk, encoding, done) {
    done(null, chunk);
  },
}, () => {});

function finished(stream, options, done) {
  if (typeof options === 'function') done = options;
  let called = false;
  const finish = (error) => {
    if (called) return;
    called = true;
    done(error);
  };
  const readableSide = stream.readable && stream._queue !== undefined, writableSide = stream.writable;
  let open = (readableSide ? 1 : 0) + (writableSide ? 1 : 0);
  const one = () => --open <= 0 && finish();
  if (readableSide) stream.once('end', one);
  if (writableSide) stream.once('finish', one);
  stream.once('error', finish);
  stream.once('close', () => finish(open > 0 ? Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' }) : undefined));
  return () => (called = true);
}

// Stages that are functions take what comes as an iterable and give another; the last may give a promise of what `done` gets.
function piped(stages, done) {
  if (stages.length === 1 && Array.isArray(stages[0])) stages = stages[0];
  const all = [];
  let over = false, result;
  const end = (error, value) => {
    if (over) return;
    over = true;
    if (error) for (const s of all) s.destroy?.();
    done(error, value);
  };
  const add = (stream) => {
    all.push(stream);
    stream.on('error', end);
  };
  try {
    for (const [at, stage] of stages.entries()) {
      const before = all.at(-1);
      if (typeof stage === 'function') {
        const out = stage(before);
        if (at + 1 === stages.length && typeof out?.then === 'function') result = out;
        else add(Readable.from(out));
      } else {
        add(stage instanceof Stream ? stage : Readable.from(stage));
        before?.pipe(stage);
      }
    }
  } catch (e) {
    result = Promise.reject(e);
  }
  if (result) result.then((value) => end(undefined, value), end);
  else finished(all.at(-1), end);
  return all.at(-1);
}

function pipeline(...stages) {
  const done = typeof stages.at(-1) === 'function' ? stages.pop() : () => {};
  return piped(stages, done);
}

const isOptions = (last) => !(last instanceof Stream) && typeof last === 'object' && !last[Symbol.asyncIterator] && !last[Symbol.iterator];

const promises = {
  pipeline: (...stages) => new Promise((resolve, reject) => {
    const { signal } = stages.length > 1 && isOptions(stages.at(-1)) ? stages.pop() : {};
    const last = piped(stages, (e, value) => (e ? reject(e) : resolve(value)));
    signal?.addEventListener('abort', () => last.destroy(Object.assign(new Error('The operation was aborted'), { name: 'AbortError', code: 'ABORT_ERR' })));
  }),
  finished: (stream) => new Promise((resolve, reject) => finished(stream, (e) => (e ? reject(e) : resolve()))),
};

module.exports = Object.assign(Stream, { Stream, Readable, Writable, Duplex, Transform, PassThrough, pipeline, finished, promises, isReadable: (s) => !!s?.readable, addAbortSignal: (_, s) => s });

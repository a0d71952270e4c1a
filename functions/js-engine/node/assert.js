// assert, Node's; its messages are shorter.
const { inspect } = require('internal/inspect');
const equal = require('internal/equal');

class AssertionError extends Error {
  constructor({ message, actual, expected, operator }) {
    super(message ?? `${inspect(actual)} ${operator} ${inspect(expected)}`);
    this.name = 'AssertionError';
    Object.assign(this, { code: 'ERR_ASSERTION', generatedMessage: message === undefined, actual, expected, operator });
  }
}

function check(ok, message, actual, expected, operator) {
  if (ok) return;
  if (message instanceof Error) throw message;
  throw new AssertionError({ message, actual, expected, operator });
}

function matches(error, expected, message) {
  if (expected === undefined || typeof expected === 'string') return;
  if (expected instanceof RegExp) return check(expected.test(String(error)), message, error, expected, 'throws');
  if (typeof expected === 'function') {
    if (expected.prototype !== undefined && error instanceof expected) return;
    if (Error.isPrototypeOf(expected) || expected === Error) throw error;
    return check(expected.call({}, error) === true, message, error, expected, 'throws');
  }
  for (const key of Object.keys(expected)) {
    const want = expected[key];
    check(want instanceof RegExp && typeof error[key] === 'string' ? want.test(error[key]) : equal(error[key], want, true), message, error, expected, 'throws');
  }
}

function assert(value, message) {
  check(value, message ?? (arguments.length ? undefined : 'No value argument passed to `assert.ok()`'), value, true, '==');
}

Object.assign(assert, {
  AssertionError, ok: assert,
  fail(message = 'Failed') {
    throw message instanceof Error ? message : new AssertionError({ message, operator: 'fail' });
  },
  equal: (a, b, message) => check(a == b || (a !== a && b !== b), message, a, b, '=='),
  notEqual: (a, b, message) => check(a != b && !(a !== a && b !== b), message, a, b, '!='),
  strictEqual: (a, b, message) => check(Object.is(a, b), message, a, b, 'strictEqual'),
  notStrictEqual: (a, b, message) => check(!Object.is(a, b), message, a, b, 'notStrictEqual'),
  deepEqual: (a, b, message) => check(equal(a, b, false), message, a, b, 'deepEqual'),
  notDeepEqual: (a, b, message) => check(!equal(a, b, false), message, a, b, 'notDeepEqual'),
  deepStrictEqual: (a, b, message) => check(equal(a, b, true), message, a, b, 'deepStrictEqual'),
  notDeepStrictEqual: (a, b, message) => check(!equal(a, b, true), message, a, b, 'notDeepStrictEqual'),
  match: (text, pattern, message) => check(typeof text === 'string' && pattern.test(text), message, text, pattern, 'match'),
  doesNotMatch: (text, pattern, message) => check(typeof text !== 'string' || !pattern.test(text), message, text, pattern, 'doesNotMatch'),
  ifError: (value) => {
    if (value !== null && value !== undefined) throw value;
  },
  throws(fn, expected, message) {
    let error, threw = false;
    try {
      fn();
    } catch (e) {
      error = e;
      threw = true;
    }
    check(threw, message ?? (typeof expected === 'string' ? expected : 'Missing expected exception.'), undefined, expected, 'throws');
    matches(error, expected, message);
  },
  doesNotThrow(fn, _, message) {
    try {
      fn();
    } catch (e) {
      check(false, message ?? `Got unwanted exception.\nActual message: "${e?.message}"`, e, undefined, 'doesNotThrow');
    }
  },
  async rejects(promise, expected, message) {
    let error, threw = false;
    try {
      await (typeof promise === 'function' ? promise() : promise);
    } catch (e) {
      error = e;
      threw = true;
    }
    check(threw, message ?? 'Missing expected rejection.', undefined, expected, 'rejects');
    matches(error, expected, message);
  },
  async doesNotReject(promise, _, message) {
    try {
      await (typeof promise === 'function' ? promise() : promise);
    } catch (e) {
      check(false, message ?? `Got unwanted rejection.\nActual message: "${e?.message}"`, e, undefined, 'doesNotReject');
    }
  },
});
assert.strict = Object.assign((...args) => assert(...args), assert, { equal: assert.strictEqual, deepEqual: assert.deepStrictEqual, notEqual: assert.notStrictEqual, notDeepEqual: assert.notDeepStrictEqual });
assert.strict.strict = assert.strict;
module.exports = assert;

const loop = require('internal/loop');
exports.setTimeout = (delay, value) => new Promise((resolve) => loop.setTimeout(resolve, delay, value));
exports.setImmediate = (value) => new Promise((resolve) => loop.setImmediate(resolve, value));
exports.setInterval = async function* (delay, value) {
  for (;;) {
    await exports.setTimeout(delay);
    yield value;
  }
};
exports.scheduler = { wait: (delay) => exports.setTimeout(delay), yield: () => exports.setImmediate() };

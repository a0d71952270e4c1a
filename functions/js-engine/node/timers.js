const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = require('internal/loop');
module.exports = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
Object.defineProperty(module.exports, 'promises', { get: () => require('timers/promises'), enumerable: true });

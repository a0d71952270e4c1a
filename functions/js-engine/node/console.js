// console: lines of the function's log.
const util = require('internal/inspect');
const counts = new Map(), clocks = new Map();
let indent = '';

function write(level, args) {
  const message = util.format(...args);
  host.call('log.write', JSON.stringify({ level, message: indent ? indent + message.replaceAll('\n', `\n${indent}`) : message }));
}

class Console {}
const console = {
  Console,
  log: (...args) => write('info', args),
  info: (...args) => write('info', args),
  debug: (...args) => write('debug', args),
  warn: (...args) => write('warn', args),
  error: (...args) => write('error', args),
  trace: (...args) => write('error', [`Trace: ${util.format(...args)}`]),
  dir: (value, options) => write('info', [util.inspect(value, options)]),
  dirxml: (...args) => write('info', args),
  table: (value) => write('info', [value]),
  assert: (ok, ...args) => {
    if (!ok) write('error', args.length ? [`Assertion failed: ${util.format(...args)}`] : ['Assertion failed']);
  },
  count: (label = 'default') => {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    write('info', [`${label}: ${counts.get(label)}`]);
  },
  countReset: (label = 'default') => void counts.delete(label),
  time: (label = 'default') => void clocks.set(label, Date.now()),
  timeLog: (label = 'default', ...args) => write('info', [`${label}: ${Date.now() - (clocks.get(label) ?? Date.now())}ms`, ...args]),
  timeEnd: (label = 'default') => {
    console.timeLog(label);
    clocks.delete(label);
  },
  group: (...args) => {
    if (args.length) write('info', args);
    indent += '  ';
  },
  groupEnd: () => {
    indent = indent.slice(2);
  },
};
console.groupCollapsed = console.group;
module.exports = console;

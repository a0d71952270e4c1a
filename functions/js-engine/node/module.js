// module: createRequire and the list of what there is.
const names = ['assert', 'buffer', 'console', 'crypto', 'events', 'fs', 'http', 'https', 'module', 'os', 'path', 'perf_hooks', 'process', 'querystring', 'stream', 'string_decoder', 'timers', 'url', 'util'];
module.exports = {
  builtinModules: names, isBuiltin: (name) => names.includes(String(name).replace(/^node:/, '')),
  createRequire: (from) => host.makeRequire(String(from).replace(/^file:\/\//, '').replace(/^\/var\/task\//, '')),
};

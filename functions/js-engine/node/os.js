// os: a small Linux machine that tells nothing about the real one.
module.exports = {
  EOL: '\n', devNull: '/dev/null', arch: () => 'x64', platform: () => 'linux', type: () => 'Linux', release: () => '5.10.0', version: () => '', machine: () => 'x86_64',
  hostname: () => 'localhost', homedir: () => '/', tmpdir: () => '/tmp', endianness: () => 'LE', uptime: () => 0, loadavg: () => [0, 0, 0],
  totalmem: () => 128 << 20, freemem: () => 64 << 20, cpus: () => [], availableParallelism: () => 1, networkInterfaces: () => ({}),
  userInfo: () => ({ uid: -1, gid: -1, username: 'function', homedir: '/', shell: null }), constants: { signals: {}, errno: {} },
};

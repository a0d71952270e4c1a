// tty: nothing here is a terminal.
const { missing } = require('internal/absent');
module.exports = { isatty: () => false, ReadStream: missing('tty', 'ReadStream'), WriteStream: missing('tty', 'WriteStream') };

module.exports = require('internal/http')('https:');

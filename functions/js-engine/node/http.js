module.exports = require('internal/http')('http:');

module.exports = { performance, PerformanceObserver: class { observe() {} disconnect() {} }, constants: {} };

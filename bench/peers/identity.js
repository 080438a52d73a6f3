// A new Function's key: 56 bits of microseconds since 1970 and 72 random ones, as the module's are.
'use strict';

const { randomBytes } = require('node:crypto');

const origin = BigInt(Date.now()) * 1000n - process.hrtime.bigint() / 1000n;

module.exports = () => {
  const microseconds = origin + process.hrtime.bigint() / 1000n;

  return microseconds.toString(16).padStart(14, '0') + randomBytes(9).toString('hex');
};

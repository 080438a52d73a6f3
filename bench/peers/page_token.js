// Page tokens, made as the module makes them, so that both understand each other's: direction and row,
// signed for the account and the list.
'use strict';

const crypto = require('node:crypto');

const SIGNATURE_BYTES = 16;

module.exports = (hexKey, accountSid) => {
  const key = Buffer.from(hexKey, 'hex');
  const account = accountSid
    .slice(2)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

  const sign = (path, row) =>
    crypto
      .createHmac('sha256', key)
      .update(`${account} ${path}? ${row.toString('hex')}`)
      .digest()
      .subarray(0, SIGNATURE_BYTES);

  function make(direction, path, uuid) {
    const row = Buffer.from(direction.charCodeAt(0).toString(16) + uuid.replaceAll('-', ''), 'hex');

    return `PT${Buffer.concat([row, sign(path, row)]).toString('base64url')}`;
  }

  return {
    next: (path, uuid) => make('n', path, uuid),
    previous: (path, uuid) => make('p', path, uuid),

    // Where a page begins or, as { before }, ends; null where the token is not one of ours.
    read(path, token) {
      const bytes = Buffer.from(token.slice(2), 'base64url');
      const row = bytes.subarray(0, 17);

      if (bytes.length !== 17 + SIGNATURE_BYTES) return null;
      if (!crypto.timingSafeEqual(sign(path, row), bytes.subarray(17))) return null;
      const uuid = row.subarray(1).toString('hex');
      return row[0] === 'n'.charCodeAt(0) ? { at: uuid } : { before: uuid };
    },
  };
};

// Takes an isolate's place in t/frame_fuzz.t, and sends the wrong frames that the path of a call's query names.
'use strict';

const fs = require('fs');

const [READY, LOG, ANSWER, BAD_REQUEST, IDLE] = [2, 3, 4, 5, 6];
const LINE = 3;

let calls = 0;

function frame(type, call, payload = '') {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const bytes = Buffer.alloc(9 + body.length);
  bytes.writeUInt32BE(body.length + 5, 0);
  bytes[4] = type;
  bytes.writeUInt32BE(call, 5);
  body.copy(bytes, 9);
  return bytes;
}

function withHead(head, body = '') {
  const text = Buffer.from(typeof head === 'string' ? head : JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, Buffer.from(body)]);
}

function raw(length, type, call, payload = '') {
  const bytes = frame(type, call, payload);
  bytes.writeUInt32BE(length, 0);
  return bytes;
}

const fine = { status: 200, headers: [['Content-Type', 'text/plain']], error: false };
const answer = (n, head = fine, body = 'fine') => frame(ANSWER, n, withHead(head, body));
const idle = (n) => frame(IDLE, n, JSON.stringify({ rss: 1000000, calls: ++calls }));
const headed = (changes) => (n) => [answer(n, { ...fine, ...changes }), idle(n)];
const text = (head) => (n) => [frame(ANSWER, n, withHead(head)), idle(n)];

// Writes of each kind; null closes the line, and a number is a pause in milliseconds.
const kinds = {
  fine: (n) => [answer(n), idle(n)],
  pieces: (n) => [...Buffer.concat([answer(n), idle(n)])].flatMap((byte) => [Buffer.from([byte]), 1]),
  together: (n) => [Buffer.concat([frame(LOG, n, '\0log'), answer(n), frame(LOG, n, '\0after'), idle(n)])],
  level: (n) => [frame(LOG, n, '\tlog'), answer(n), idle(n)],
  logs: (n) => [frame(LOG, n, `\0${'x'.repeat(200000)}`), answer(n), frame(LOG, n, `\0${'y'.repeat(200000)}`), idle(n)],

  type0: (n) => [frame(0, n)],
  type1: (n) => [frame(1, n, withHead('{}'))],
  type7: (n) => [frame(7, n)],
  type255: (n) => [frame(255, n)],
  ready: (n) => [frame(READY, n)],
  ready0: () => [frame(READY, 0)],
  call0: () => [answer(0)],
  earlier: (n) => [answer(n - 1)],
  later: (n) => [answer(n + 1)],
  length0: (n) => [raw(0, ANSWER, n)],
  length4: (n) => [raw(4, ANSWER, n)],
  longest: (n) => [raw(0xffffffff, ANSWER, n)],
  longlog: (n) => [raw(0xffffffff, LOG, n)],
  longidle: (n) => [raw(5 + 2000, IDLE, n)],
  emptylog: (n) => [frame(LOG, n)],
  idle: (n) => [idle(n)],
  noise: () => [Buffer.from('HTTP/1.1 200 OK\r\n\r\n')],
  shorthead: (n) => [frame(ANSWER, n, Buffer.from([0, 0, 0]))],
  longhead: (n) => [frame(ANSWER, n, Buffer.from([0, 0, 0, 9, 123, 125]))],
  nojson: text('{"status":'),
  behind: text(`${JSON.stringify(fine)}{}`),
  array: text('[200]'),
  empty: text(''),
  deep: text('['.repeat(1000) + ']'.repeat(1000)),
  nostatus: text('{"headers":[],"error":false}'),
  noheaders: text('{"status":200,"error":false}'),
  noerror: text('{"status":200,"headers":[]}'),
  textstatus: headed({ status: '200' }),
  floatstatus: headed({ status: 200.5 }),
  status99: headed({ status: 99 }),
  status100: headed({ status: 100 }),
  status600: headed({ status: 600 }),
  hugestatus: headed({ status: 2 ** 53 }),
  objectheaders: headed({ headers: { a: 'b' } }),
  stringpair: headed({ headers: ['ab'] }),
  triple: headed({ headers: [['a', 'b', 'c']] }),
  number: headed({ headers: [['a', 1]] }),
  noname: headed({ headers: [['', 'b']] }),
  space: headed({ headers: [['a b', 'b']] }),
  colon: headed({ headers: [['a:', 'b']] }),
  newline: headed({ headers: [['a', 'b\nc: d']] }),
  return: headed({ headers: [['a', 'b\rc']] }),
  nul: headed({ headers: [['a', 'b\0c']] }),
  nulname: headed({ headers: [['a\0b', 'c']] }),
  many: headed({ headers: Array(91).fill(['a', 'b']) }),
  huge: headed({ headers: [['a', 'b'.repeat(16 * 1024)]] }),
  large: (n) => [answer(n, fine, 'x'.repeat(100001)), idle(n)],
  close: () => [null],
  half: (n) => [answer(n).subarray(0, 20), null],
  halfhead: (n) => [answer(n).subarray(0, 3), null],
  silence: (n) => [answer(n).subarray(0, 20)],
  nothing: () => [],

  twice: (n) => [answer(n), answer(n)],
  behindanswer: (n) => [answer(n), Buffer.from('noise noise noise noise')],
  idlejson: (n) => [answer(n), frame(IDLE, n, '{"rss":')],
  idletext: (n) => [answer(n), frame(IDLE, n, '{"rss":"1","calls":1}')],
  idlenegative: (n) => [answer(n), frame(IDLE, n, '{"rss":-1,"calls":1}')],
  idleempty: (n) => [answer(n), frame(IDLE, n)],
  idlelate: (n) => [answer(n), 3000, idle(n)],
  idletwice: (n) => [answer(n), idle(n), idle(n)],
  idlenoise: (n) => [answer(n), idle(n), 100, frame(LOG, n, '\0late')],
  closed: (n) => [answer(n), null],
  bad: (n) => [frame(BAD_REQUEST, n, 'bad'), idle(n)],
  longbad: (n) => [frame(BAD_REQUEST, n, 'x'.repeat(5000)), idle(n)],
};

// An answer with bytes changed at random, the same ones for a seed.
function changed(n, seed) {
  const bytes = Buffer.concat([frame(LOG, n, '\0log'), answer(n), idle(n)]);
  let state = BigInt(seed) * 0x9E3779B97F4A7C15n + 1n;
  const below = (limit) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number((state >> 33n) % BigInt(limit));
  };
  for (let i = 1 + below(4); i > 0; i--) {
    bytes[below(2) ? below(bytes.length) : below(30)] = below(2) ? below(8) : below(256);
  }
  const cut = below(4) ? bytes.length : below(bytes.length);
  return [bytes.subarray(0, cut), null];
}

async function send(writes) {
  for (const bytes of writes) {
    if (bytes === null) {
      process.exit(0);
    } else if (typeof bytes === 'number') {
      await new Promise((done) => setTimeout(done, bytes));
    } else {
      for (let at = 0; at < bytes.length;) {
        try {
          at += fs.writeSync(LINE, bytes, at);
        } catch (error) {
          if (error.code !== 'EAGAIN') throw error;
        }
      }
    }
  }
}

let received = Buffer.alloc(0);
const socket = new (require('net').Socket)({ fd: LINE, readable: true, writable: false });
socket.on('data', (bytes) => {
  received = Buffer.concat([received, bytes]);
  while (received.length >= 4 && received.length >= 4 + received.readUInt32BE(0)) {
    const size = 4 + received.readUInt32BE(0);
    const n = received.readUInt32BE(5);
    const head = JSON.parse(received.subarray(13, 13 + received.readUInt32BE(9)).toString());
    received = received.subarray(size);
    const [kind, seed] = head.query.split('=');
    send(kind === 'seed' ? changed(n, seed) : kinds[kind](n));
  }
});
socket.on('end', () => process.exit(0));
fs.writeSync(LINE, frame(READY, 0));

// The line: frames in pieces, frames that break the protocol, and random bytes. A broken frame ends the isolate.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { describe, test } = require('node:test');
const { Reader, answer, log, ready, splitCall, textFrame } = require('../../runtime/isolate/frame.js');
const { Isolate, Type, callPayload, frame, isolateFor, removeBuild, writeBuild } = require('./isolate.js');

const functions = { f: 'exports.handler = (c, e, done) => done(null, "ok " + e.n)' };
const CLOSED = 0;
const WRONG = 2;

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const ROUNDS = Number(process.env.ROUNDS ?? 25);

// Returns a function that returns pseudo-random integers from 0 to `limit` - 1.
function generator(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

describe('frames', () => {
  // Returns the frames that a reader makes of pieces.
  function read(pieces) {
    const found = [];
    const reader = new Reader((type, call, payload) => found.push([type, call, String(payload)]));
    for (const piece of pieces) {
      const buffer = Buffer.from(piece); // overwritten afterwards, as the buffer of the line is
      reader.push(buffer);
      buffer.fill(0);
    }
    return found;
  }

  const whole = Buffer.concat([frame(1, 7, Buffer.from('first')), frame(9, 0xffffffff, Buffer.alloc(0)), frame(1, 8, Buffer.from('x'.repeat(300)))]);
  const expected = [[1, 7, 'first'], [9, 0xffffffff, ''], [1, 8, 'x'.repeat(300)]];

  test('in one piece', () => assert.deepStrictEqual(read([whole]), expected));

  test('cut at each place', () => {
    for (let at = 0; at <= whole.length; at++) {
      assert.deepStrictEqual(read([whole.subarray(0, at), whole.subarray(at)]), expected);
    }
  });

  test('byte by byte', () => assert.deepStrictEqual(read(Array.from(whole, (byte) => [byte])), expected));

  test('that are too short or too long', () => {
    for (const length of [0, 4, 64 * 1024 * 1024 + 1, 0xffffffff]) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(length);
      assert.throws(() => read([head]), RangeError);
    }
  });

  test('as the isolate writes them', () => {
    assert.deepStrictEqual(read([ready()]), [[Type.READY, 0, '']]);
    assert.deepStrictEqual(read([log(3, 2, 'é')]), [[Type.LOG, 3, '\u0002é']]);
    assert.deepStrictEqual(read([answer(4, '{"é":1}', 'body €')]), [[Type.ANSWER, 4, '\0\0\0\u0008{"é":1}body €']]);
    assert.deepStrictEqual(read([answer(4, '{}', Buffer.from('bytes'))]), [[Type.ANSWER, 4, '\0\0\0\u0002{}bytes']]);
    assert.deepStrictEqual(read([textFrame(Type.IDLE, 5, '{}')]), [[Type.IDLE, 5, '{}']]);
  });

  test('the payload of CALL', () => {
    const { head, body } = splitCall(callPayload({ a: 1 }, Buffer.from('body')));
    assert.deepStrictEqual([head, String(body)], ['{"a":1}', 'body']);
    for (const payload of ['', '\0\0\0', '\0\0\0\u0001', '\u00ff\u00ff\u00ff\u00ff{}']) {
      assert.throws(() => splitCall(Buffer.from(payload, 'latin1')), RangeError);
    }
  });
});

describe('the isolate ends with status 2', () => {
  const call = (number, head, body = '') => frame(Type.CALL, number, callPayload(head, Buffer.from(body)));
  const cases = {
    'a frame of length 0': Buffer.from([0, 0, 0, 0]),
    'a frame of 4 GiB': Buffer.from([255, 255, 255, 255, 1]),
    'a frame above the limit': Buffer.from([4, 0, 0, 1]),
    'an unknown type': frame(7, 1, Buffer.from('x')),
    'type 0': frame(0, 1, Buffer.from('x')),
    'a frame of the other direction': frame(Type.ANSWER, 1, Buffer.from('x')),
    'call 0': call(0, {}),
    'CALL without payload': frame(Type.CALL, 1, Buffer.alloc(0)),
    'a head longer than the frame': frame(Type.CALL, 1, Buffer.from([0, 0, 1, 0, 0x7b, 0x7d])),
    'a head that is no JSON': frame(Type.CALL, 1, Buffer.from([0, 0, 0, 1, 0x7b])),
    'a head that is null': call(1, null),
    'a head without Variables': call(1, { headers: [] }),
    'a head without headers': call(1, { variables: {} }),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    test(what, async (t) => {
      const isolate = await isolateFor(t, { functions });
      isolate.line.write(bytes);
      assert.strictEqual(await isolate.exited, WRONG);
      assert.match(isolate.stderr, /^isolate: /);
    });
  }

  test('a second CALL during a call', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'exports.handler = () => {}' } });
    isolate.send('f');
    isolate.send('f');
    assert.strictEqual(await isolate.exited, WRONG);
  });

  test('a folder without a Build', async () => {
    for (const args of [[], ['/nonexistent'], [__dirname]]) {
      assert.strictEqual(await new Isolate({}, { args }).exited, WRONG);
    }
  });
});

describe('the isolate ends with status 0 where the line is closed', () => {
  test('between calls', async (t) => {
    const isolate = await isolateFor(t, { functions });
    await isolate.call('f');
    assert.strictEqual(await isolate.stop(), CLOSED);
  });

  test('within a frame', async (t) => {
    const isolate = await isolateFor(t, { functions });
    isolate.line.write(Buffer.from([0, 0, 1, 0, 1]));
    assert.strictEqual(await isolate.stop(), CLOSED);
  });

  for (const [what, source] of [
    ['while a call waits', 'setInterval(() => {}, 1000)'],
    ['while a call prints', 'setInterval(() => console.log("x".repeat(1000)), 1)'],
    ['while a call prints in a loop', 'for (;;) console.log("x".repeat(1000))'],
    ['while a call answers', 'setTimeout(done, 100, null, "x".repeat(5e6))'],
  ]) {
    test(what, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = (c, e, done) => { console.log('begun'); ${source}; }` } });
      isolate.send('f');
      await isolate.next();
      isolate.line.destroy();
      assert.strictEqual(await isolate.exited, CLOSED);
    });
  }
});

test('a peer that reads slowly gets everything', async (t) => {
  const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => { for (let i = 0; i < 100; i++) console.log("x".repeat(10000)); done(null, "y".repeat(4e6)); }' } });
  isolate.line.pause();
  isolate.send('f');
  await new Promise((resolve) => { setTimeout(resolve, 200); });
  isolate.line.resume();
  const { logs, body, idle } = await isolate.outcome();
  assert.deepStrictEqual([logs.length, body.length, idle.calls], [100, 4e6, 1]);
});

test('a call in pieces is a call', async (t) => {
  const isolate = await isolateFor(t, { functions });
  const { write } = isolate.line;
  for (const size of [1, 7, 100]) {
    const pieces = [];
    isolate.line.write = (bytes) => { for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size)); };
    isolate.send('f', { query: 'n=7' });
    isolate.line.write = write;
    for (const piece of pieces) {
      isolate.line.write(piece);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    assert.strictEqual(String((await isolate.outcome()).body), 'ok 7');
  }
});

// Returns bytes that are a valid CALL with some random changes, or random throughout.
function hostileBytes(random, valid) {
  if (random(4) === 0) {
    return Buffer.from(Array.from({ length: 1 + random(300) }, () => random(256)));
  }
  const bytes = Buffer.from(valid);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    bytes[random(random(2) ? 13 : bytes.length)] = random(256);
  }
  return random(3) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

test(`the isolate answers or ends after random bytes, and never hangs (SEED=${SEED} ROUNDS=${ROUNDS})`, async () => {
  const build = writeBuild({ functions });
  const random = generator(SEED);
  const valid = frame(Type.CALL, 1, callPayload({
    function: build.sids.f, path: '/f', method: 'POST', url: 'https://d/f', query: 'n=1', type: 'application/json', headers: [['A', 'b']],
    user: null, domain: 'd', service: 'ZS', environment: 'ZE', account: null, token: null, variables: { V: '1' }, stack: false,
  }, Buffer.from('{"a":[1]}')));
  for (let round = 0; round < ROUNDS; round++) {
    const isolate = await new Isolate(build).ready();
    isolate.line.write(hostileBytes(random, valid));
    const ended = Promise.race([isolate.exited, new Promise((resolve) => { setTimeout(resolve, 100, 'waits'); })]);
    const status = await ended === 'waits' ? await isolate.stop() : await isolate.exited;
    assert.ok(status === CLOSED || status === WRONG, `round ${round}: ${status} ${isolate.stderr}`);
  }
  removeBuild(build);
});

test('the line is the only descriptor that the isolate opens beyond Node.js own', async (t) => {
  const isolate = await isolateFor(t, { functions });
  await isolate.call('f');
  const links = fs.readdirSync(`/proc/${isolate.child.pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${isolate.child.pid}/fd/${fd}`));
  const sockets = links.filter((link) => link.startsWith('socket:'));
  assert.strictEqual(sockets.length, 3); // stdout, stderr and the line
  assert.ok(links.every((link) => /^(socket:|pipe:|anon_inode:|\/dev\/)/.test(link)), links.join(' '));
});

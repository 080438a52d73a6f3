// After the answer: IDLE when nothing of the call is left, late output, and exceptions that no code has caught.
'use strict';

const assert = require('node:assert');
const http = require('node:http');
const { describe, test } = require('node:test');
const { Type, isolateFor } = require('./isolate.js');

const NEXT = "exports.handler = (c, e, done) => done(null, 'next')";
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Calls the Function f, and resolves to { outcome, after }: milliseconds from the answer to IDLE.
async function timed(isolate, head) {
  isolate.send('f', head);
  await isolate.arrival();
  while (isolate.frames[0].type !== Type.ANSWER) {
    const logged = await isolate.next();
    assert.strictEqual(logged.type, Type.LOG);
    await isolate.arrival();
  }
  const answered = performance.now();
  const outcome = await isolate.outcome();
  return { outcome, after: performance.now() - answered };
}

// Resolves to true where the isolate sends no IDLE for a second after the answer of f.
async function isKept(isolate, head) {
  isolate.send('f', head);
  for (let frame = await isolate.next(); frame.type !== Type.ANSWER; frame = await isolate.next()) {
    assert.strictEqual(frame.type, Type.LOG);
  }
  await pause(1000);
  return !isolate.frames.some((frame) => frame === null || frame.type === Type.IDLE);
}

// Calls the Function f, and resolves to { outcome, parts }: the bytes of each read.
async function partsOf(isolate, head) {
  const parts = [];
  const listen = (bytes) => parts.push(bytes);
  isolate.line.prependListener('data', listen);
  const outcome = await isolate.call('f', head);
  isolate.line.off('data', listen);
  return { outcome, parts };
}

describe('the answer is sent when the code that gives it has returned', () => {
  test('with IDLE where nothing is left', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: NEXT } });
    const { outcome, parts } = await partsOf(isolate);
    assert.strictEqual(outcome.idle.calls, 1);
    assert.strictEqual(parts.length, 1);
  });

  test('before IDLE where it is long', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: "exports.handler = (c, e, done) => done(null, 'x'.repeat(e.n))" } });
    for (const length of [16000, 20000, 1000000]) {
      const outcome = await isolate.call('f', { query: `n=${length}` });
      assert.deepStrictEqual([outcome.body.length, outcome.ended], [length, undefined]);
    }
  });

  for (const [what, source] of [
    ['ends the process', "done(null, 'x'); process.exit(3)"],
    ['answers as the process ends', "process.on('exit', () => done(null, 'x')); process.exit(3)"],
    ['fails', "done(null, 'x'); queueMicrotask(() => { throw new TypeError('bad'); })"],
    ['fails without what happens at the end of the process',
      "process.removeAllListeners('exit'); done(null, 'x'); queueMicrotask(() => { throw new TypeError('bad'); })"],
    ['removes all that happens at the end of the process',
      "done(null, 'x'); process.removeAllListeners('exit'); setTimeout(() => process.exit(), 50)"],
  ]) {
    test(`also where the Function ${what}`, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = (c, e, done) => { ${source}; }` } });
      const { status, body, ended } = await isolate.call('f');
      assert.deepStrictEqual([status, String(body), ended], [200, 'x', true]);
    });
  }

  test('also where an uncaught exception is the answer, without what happens at the end of the process', async (t) => {
    const source = "process.removeAllListeners('exit'); setTimeout(() => { throw new TypeError('bad'); }, 5)";
    const isolate = await isolateFor(t, { functions: { f: `exports.handler = () => { ${source}; }` } });
    const { status, body, ended } = await isolate.call('f');
    assert.deepStrictEqual([status, JSON.parse(body), ended], [500, { message: 'bad', name: 'TypeError' }, true]);
  });
});

describe('IDLE comes when nothing of the call is left', () => {
  test('at once', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: NEXT } });
    for (let i = 1; i <= 100; i++) {
      assert.strictEqual((await isolate.call('f')).idle.calls, i);
    }
  });

  for (const [what, source] of [
    ['a timer', "setTimeout(() => console.log('last'), 100)"],
    ['an interval that ends', "let n = 0; const i = setInterval(() => { if (++n === 5) { clearInterval(i); console.log('last'); } }, 20)"],
    ['an immediate', "setImmediate(() => setImmediate(() => console.log('last')))"],
    ['promises', "(async () => { for (let i = 0; i < 100; i++) await null; console.log('last'); })()"],
    ['a file', "require('fs').readFile(__filename, () => console.log('last'))"],
    ['a file by a promise', "require('fs').promises.readFile(__filename).then(() => console.log('last'))"],
    ['a look-up of a name', "require('dns').lookup('localhost', () => console.log('last'))"],
    ['a child process', "require('child_process').exec('sleep 0.1', () => console.log('last'))"],
    ['the rest of an async handler', "return new Promise((resolve) => setTimeout(resolve, 50)).then(() => console.log('last'))"],
    ['process.nextTick', "process.nextTick(() => console.log('last'))"],
  ]) {
    test(`after ${what}`, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = (c, e, done) => { done(null, 'x'); ${source}; }` } });
      for (let i = 1; i <= 2; i++) {
        const { logs, idle } = await isolate.call('f');
        assert.deepStrictEqual([logs, idle?.calls], [[['INFO', 'last']], i]);
      }
    });
  }

  test('after a request to a server', async (t) => {
    const server = http.createServer((request, response) => setTimeout(() => response.end('ok'), 50)).listen(0, '127.0.0.1');
    t.after(() => { server.closeAllConnections(); server.close(); });
    await new Promise((resolve) => { server.once('listening', resolve); });
    const source = `exports.handler = (c, e, done) => { done(); require('http').get(c.URL, (response) => {
      response.resume().on('end', () => console.log('last')); }); }`;
    const isolate = await isolateFor(t, { functions: { f: source } });
    for (let i = 1; i <= 2; i++) {
      const { logs, idle } = await isolate.call('f', { variables: { URL: `http://127.0.0.1:${server.address().port}` } });
      assert.deepStrictEqual([logs, idle.calls], [[['INFO', 'last']], i]);
    }
  });

  test('not before a timer of ten seconds, an interval or a server ends', async (t) => {
    for (const source of ['setTimeout(() => {}, 10000)', 'setInterval(() => {}, 100)', "require('http').createServer().listen(0, '127.0.0.1')"]) {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = (c, e, done) => { done(); ${source}; }` } });
      assert.ok(await isKept(isolate), source);
    }
  });

  test('not for the timers that module code has made', async (t) => {
    const source = `setInterval(() => {}, 100); setTimeout(() => {}, 10000);
      exports.handler = (c, e, done) => done()`;
    const isolate = await isolateFor(t, { functions: { f: source } });
    for (let i = 1; i <= 3; i++) {
      assert.strictEqual((await isolate.call('f')).idle.calls, i);
    }
  });

  test('not for timers without reference', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => { done(); setTimeout(() => {}, 10000).unref() }' } });
    assert.strictEqual((await isolate.call('f')).idle.calls, 1);
  });

  test('a quarter of a second after a connection that stays open, and at once in the next call', async (t) => {
    const server = require('net').createServer((socket) => socket.on('data', (bytes) => socket.write(bytes)));
    server.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await new Promise((resolve) => { server.once('listening', resolve); });
    const source = `let socket;
      exports.handler = (c, e, done) => {
        socket ??= require('net').connect(Number(c.PORT), '127.0.0.1');
        socket.once('data', (bytes) => { console.log('data'); done(null, String(bytes)); });
        socket.write(c.PORT);
      }`;
    const isolate = await isolateFor(t, { functions: { f: source } });
    const head = { variables: { PORT: String(server.address().port) } };
    const first = await timed(isolate, head);
    const second = await timed(isolate, head);
    assert.deepStrictEqual([first.outcome.idle.calls, second.outcome.idle.calls], [1, 2]);
    assert.ok(first.after >= 200, `${first.after} ms`);
    let { after } = second; // the best of some calls, since a busy machine delays one or the other
    for (let calls = 0; after >= 200 && calls < 50; calls++) {
      ({ after } = await timed(isolate, head));
    }
    assert.ok(after < 200, `${after} ms`);
    isolate.send('f', head); // an entry of a callback of that connection belongs to the call that waits for it
    assert.strictEqual((await isolate.next()).payload.toString('utf8', 1), 'data');
  });

  test('after BAD_REQUEST', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: NEXT } });
    const { bad, idle } = await isolate.call('f', { type: 'application/json', body: '{' });
    assert.ok(bad && idle.calls === 1);
  });
});

describe('exceptions that no code has caught', () => {
  const sources = {
    'an exception in a timer': "setTimeout(() => { throw new TypeError('bad'); }, 10)",
    'a rejection': "Promise.reject(new TypeError('bad'))",
    'an event "error" without listener': "process.nextTick(() => new (require('events'))().emit('error', new TypeError('bad')))",
    'an exception in a microtask': "queueMicrotask(() => { throw new TypeError('bad'); })",
  };
  for (const [what, source] of Object.entries(sources)) {
    test(`${what} before the answer is 500, and ends the isolate`, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = () => { console.log('1'); process.stdout.write('2'); ${source} }` } });
      const { status, body, error, logs, ended } = await isolate.call('f');
      assert.deepStrictEqual([status, error, String(body), ended], [500, true, '{"message":"bad","name":"TypeError"}', true]);
      assert.deepStrictEqual(logs.map(([level, text]) => [level, text.split('\n')[0]]),
        [['INFO', '1'], ['ERROR', 'TypeError: bad'], ['INFO', '2']]);
      assert.strictEqual(await isolate.exited, 1);
    });

    test(`${what} after the answer is logged, and ends the isolate`, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = (c, e, done) => { done(null, 'x'); ${source} }` } });
      const { status, body, logs, ended } = await isolate.call('f');
      assert.deepStrictEqual([status, String(body), ended, logs.length], [200, 'x', true, 1]);
      assert.ok(logs[0][0] === 'ERROR' && logs[0][1].startsWith('TypeError: bad\n'), logs[0][1]);
      assert.strictEqual(await isolate.exited, 1);
    });
  }

  test('one between calls ends the isolate, with the error on stderr', async (t) => {
    const source = "exports.handler = (c, e, done) => { done(); setTimeout(() => { throw new Error('between'); }, 100).unref(); }";
    const isolate = await isolateFor(t, { functions: { f: source } });
    assert.ok((await isolate.call('f')).idle);
    assert.strictEqual(await isolate.exited, 1);
    assert.match(isolate.stderr, /^Error: between\n/);
  });

  // Source that runs other source when the next call, which is one of `slow`, has begun.
  const during = (source) => `const timer = setInterval(() => { if (globalThis.hasBegun) { clearInterval(timer); ${source} } }, 10); timer.unref();`;
  const slow = "exports.handler = (c, e, done) => { globalThis.hasBegun = true; setTimeout(done, 200, null, 'slow'); }";

  test('one of an earlier call harms no other call, and ends the isolate after it', async (t) => {
    const stale = `exports.handler = (c, e, done) => { done(); ${during("throw new Error('stale');")} }`;
    const thrown = "throw new Error('stale');";
    for (const how of [thrown, "Promise.reject(new Error('stale'));", `process.removeAllListeners('exit'); ${thrown}`]) {
      const f = stale.replace(thrown, how);
      const isolate = await isolateFor(t, { functions: { f, slow } });
      assert.ok((await isolate.call('f')).idle);
      const { status, body, logs, ended } = await isolate.call('slow');
      assert.deepStrictEqual([status, String(body), ended], [200, 'slow', true]);
      assert.ok(logs.length === 1 && logs[0][1].startsWith('An earlier call has failed after its end: Error: stale'), logs[0]?.[1]);
      assert.strictEqual(await isolate.exited, 1);
    }
  });

  test('a rejection of a handler after its end is logged in the next call', async (t) => {
    const f = `exports.handler = async (c, e, done) => { done(); await new Promise((resolve) => { ${during('resolve();')} }); throw new Error('stale'); }`;
    const isolate = await isolateFor(t, { functions: { f, slow } });
    assert.ok((await isolate.call('f')).idle);
    const { body, logs, idle } = await isolate.call('slow');
    assert.deepStrictEqual([String(body), idle.calls], ['slow', 2]);
    assert.ok(logs[0][1].startsWith('An earlier call has failed after its end: Error: stale'), logs[0]?.[1]);
  });

  test('a late callback of an earlier call is ignored', async (t) => {
    const f = `exports.handler = (c, e, done) => { done(null, 'f'); ${during("done(null, 'second');")} }`;
    const isolate = await isolateFor(t, { functions: { f, slow } });
    await isolate.call('f');
    const { body, logs, idle } = await isolate.call('slow');
    assert.deepStrictEqual([String(body), logs, idle.calls], ['slow', [], 2]);
  });
});

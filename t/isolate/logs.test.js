// Log entries: console, process.stdout and process.stderr, and stacks in them.
'use strict';

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { isolateFor, removeBuild, writeBuild } = require('./isolate.js');

const functions = {
  run: 'exports.handler = (context, event, callback) => { eval(String(event.request.rawBody)); callback(null, "answer"); };',
};

// A test that a source, run before the callback, makes these entries.
function logs(source, ...expected) {
  test(source, async (t) => {
    const isolate = await isolateFor(t, { functions });
    const outcome = await isolate.call('run', { method: 'POST', body: source });
    assert.deepStrictEqual([String(outcome.body), outcome.logs], ['answer', expected]);
    assert.ok(outcome.idle);
  });
}

describe('the console', () => {
  logs('console.log("a", { b: 1 })', ['INFO', 'a { b: 1 }']);
  logs('console.log("%s is %d", "x", 7, [1])', ['INFO', 'x is 7 [ 1 ]']);
  logs('console.log()', ['INFO', '']);
  logs('console.log("x\\ny\\n")', ['INFO', 'x\ny\n']);
  logs('console.info("i"); console.debug("d"); console.warn("w"); console.error("e")',
    ['INFO', 'i'], ['INFO', 'd'], ['WARNING', 'w'], ['ERROR', 'e']);
  logs('console.dir({ a: { b: { c: {} } } }, { depth: 0 })', ['INFO', '{ a: [Object] }']);
  logs('console.assert(true, "no"); console.assert(false, "yes")', ['ERROR', 'Assertion failed: yes']);
  logs('console.count(); console.count("x"); console.countReset("x"); console.count("x")', ['INFO', 'default: 1'], ['INFO', 'x: 1'], ['INFO', 'x: 1']);
  logs('console.group("g"); console.log("in"); console.error("in"); console.groupEnd(); console.log("out")',
    ['INFO', 'g'], ['INFO', '  in'], ['ERROR', '  in'], ['INFO', 'out']);
  logs('const { log } = console; log("alone")', ['INFO', 'alone']);
  logs('require("node:console").error("required")', ['ERROR', 'required']);
  logs('console.log("\\u001b[31mred\\u0000 €")', ['INFO', '\u001b[31mred\u0000 €']);
  logs('console.log("x".repeat(70000))', ['INFO', `${'x'.repeat(65536)}...`]);

  test('console.table is one entry', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const { logs: entries } = await isolate.call('run', { method: 'POST', body: 'console.table([{ a: 1 }])' });
    assert.deepStrictEqual(entries.map(([level, text]) => [level, text.split('\n').length, /│ \(index\) │ a │/.test(text)]), [['INFO', 5, true]]);
  });

  test('console.time', async (t) => {
    const isolate = await isolateFor(t, { functions });
    const outcome = await isolate.call('run', { method: 'POST', body: 'console.time("t"); console.timeLog("t"); console.timeEnd("t")' });
    assert.deepStrictEqual(outcome.logs.map(([level, text]) => [level, text.replace(/[\d.]+m?s/, 'TIME')]), [['INFO', 't: TIME'], ['INFO', 't: TIME']]);
  });

  test('console.trace has the stack of the Function', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => {\n  console.trace("t");\n  done();\n}' } });
    const { logs: [[level, text]] } = await isolate.call('f');
    assert.deepStrictEqual([level, text], ['ERROR', `Trace: t\n    at exports.handler (/var/task/handlers/${isolate.build.sids.f}.js:2:11)`]);
  });
});

describe('process.stdout and process.stderr', () => {
  logs('process.stdout.write("out\\n"); process.stderr.write("error\\n")', ['INFO', 'out'], ['ERROR', 'error']);
  logs('process.stdout.write("a"); process.stdout.write("b\\nc\\n\\nd")', ['INFO', 'ab'], ['INFO', 'c'], ['INFO', ''], ['INFO', 'd']);
  logs('process.stdout.write(Buffer.from("bytes\\n"))', ['INFO', 'bytes']);
  logs('process.stdout.write("x".repeat(20000))', ['INFO', 'x'.repeat(20000)]);
  logs('new console.Console(process.stdout, process.stderr).warn("own console")', ['ERROR', 'own console']);
  logs('if (process.stdout.fd !== 1 || process.stderr.fd !== 2 || process.stdout.isTTY) throw new Error()');
});

describe('entries of a call', () => {
  test('are in order, before and after the answer', async (t) => {
    const source = `exports.handler = (c, e, done) => {
      console.log('1'); process.stdout.write('2\\n'); setTimeout(() => { console.log('4'); }, 20); done(); console.log('3');
    }`;
    const isolate = await isolateFor(t, { functions: { f: source } });
    for (let i = 0; i < 2; i++) {
      assert.deepStrictEqual((await isolate.call('f')).logs, [['INFO', '1'], ['INFO', '2'], ['INFO', '3'], ['INFO', '4']]);
    }
  });

  test('are sent before the Function loops, exits or is killed', async (t) => {
    for (const end of ['for (;;);', 'process.exit(3)', 'process.kill(process.pid, "SIGKILL")', 'process.abort()']) {
      const isolate = await isolateFor(t, { functions: { f: `exports.handler = () => { console.log('last words'); process.stdout.write('unfinished'); ${end} }` } });
      isolate.send('f');
      const { type, payload } = await isolate.next();
      assert.deepStrictEqual([type, payload.toString('utf8', 1)], [3, 'last words']);
      if (end.startsWith('process.exit')) {
        assert.strictEqual((await isolate.next()).payload.toString('utf8', 1), 'unfinished');
        assert.strictEqual(await isolate.exited, 3);
      }
    }
  });

  test('10,000 entries of a call all arrive', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'exports.handler = (c, e, done) => { for (let i = 0; i < 10000; i++) console.log("entry", i); done(); }' } });
    const { logs: entries } = await isolate.call('f');
    assert.deepStrictEqual([entries.length, entries[0], entries[9999]], [10000, ['INFO', 'entry 0'], ['INFO', 'entry 9999']]);
  });

  test('are those of module code at the first call', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'console.log("loaded"); exports.handler = (c, e, done) => done()' } });
    assert.deepStrictEqual((await isolate.call('f')).logs, [['INFO', 'loaded']]);
    assert.deepStrictEqual((await isolate.call('f')).logs, []);
  });
});

describe('stacks', () => {
  const source = `const fail = () => { throw new Error('bad'); };
exports.handler = (c, e, done) => {
  if (e.log) { try { fail(); } catch (error) { console.error(error); done(); } return; }
  if (e.timer) { setTimeout(fail, 1); return; }
  if (e.package) { require('helper')(); return; }
  if (e.parse) { JSON.parse('{'); return; }
  if (e.cause) { try { fail(); } catch (cause) { throw new Error('outer', { cause }); } }
  fail();
};`;
  const packages = { 'helper/index.js': "module.exports = () => {\n  throw new Error('in the package');\n};" };

  for (const [query, expected] of [
    ['', ['Error: bad', '    at fail (HANDLER:1:28)', '    at exports.handler (HANDLER:8:3)']],
    ['log=1', ['Error: bad', '    at fail (HANDLER:1:28)', '    at exports.handler (HANDLER:3:22)']],
    ['timer=1', ['Error: bad', '    at Timeout.fail [as _onTimeout] (HANDLER:1:28)']],
    ['package=1', ['Error: in the package', '    at module.exports (/var/task/node_modules/helper/index.js:2:9)', '    at exports.handler (HANDLER:5:37)']],
    ['cause=1', ['Error: outer', '    at exports.handler (HANDLER:7:56)', '  [cause]: Error: bad', '      at fail (HANDLER:1:28)', '      at exports.handler (HANDLER:7:24)']],
  ]) {
    test(`have the Build at /var/task and no other path: ${query || 'throw'}`, async (t) => {
      const isolate = await isolateFor(t, { functions: { f: source }, packages });
      const { logs: [[, text]] } = await isolate.call('f', { query });
      const handler = `/var/task/handlers/${isolate.build.sids.f}.js`;
      const lines = text.split('\n').filter((line) => line !== '}').map((line) => line.replace(/ \{$/, ''));
      assert.deepStrictEqual(lines.filter((line) => !line.includes('lines matching')), expected.map((line) => line.replace('HANDLER', handler)));
    });
  }

  test('of an error in JSON.parse', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: source } });
    const { logs: [[, text]] } = await isolate.call('f', { query: 'parse=1' });
    assert.match(text, /^SyntaxError: .*\n    at JSON\.parse \(<anonymous>\)\n    at exports\.handler \(\/var\/task\/handlers\/ZN0+1\.js:6:23\)$/);
  });

  test('of a file that does not compile name its line', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'const a = 1;\nconst a = 2;' } });
    const { logs: [[, text]] } = await isolate.call('f');
    assert.ok(text.startsWith(`Could not load the Function: /var/task/handlers/${isolate.build.sids.f}.js:2\n`), text);
    assert.ok(!text.includes(isolate.build.root) && !text.includes('runtime/isolate'), text);
  });

  test('of a missing module show no path of the server', async (t) => {
    const isolate = await isolateFor(t, { functions: { f: 'require("nope")' } });
    const { logs: [[, text]], body } = await isolate.call('f', { stack: true });
    for (const shown of [text, String(body)]) {
      assert.ok(shown.includes(`/var/task/handlers/${isolate.build.sids.f}.js`), shown);
      assert.ok(!shown.includes(isolate.build.root) && !shown.includes('runtime/isolate'), shown);
    }
  });

  test('of a module that is missing for a package of NODE_PATH show no path of the server', async (t) => {
    const other = writeBuild({ packages: { 'broken/index.js': 'require("nope")' } });
    t.after(() => removeBuild(other));
    const isolate = await isolateFor(t, { functions: { f: 'require("broken")' } }, { env: { NODE_PATH: `${other.root}/node_modules` } });
    const { logs: [[, text]], body } = await isolate.call('f', { stack: true });
    for (const shown of [text, String(body)]) {
      assert.ok(shown.includes("Cannot find module 'nope'") && !shown.includes(other.root), shown);
    }
  });
});

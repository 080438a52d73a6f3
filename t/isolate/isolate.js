// Runs an isolate as the runner does, and speaks with it as httpd does: for the tests and the bench.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const MAIN = path.join(__dirname, '../../runtime/isolate/main.js');
const Type = { CALL: 1, READY: 2, LOG: 3, ANSWER: 4, BAD_REQUEST: 5, IDLE: 6 };
const PATIENCE = 120000; // milliseconds; nothing takes as long on a busy machine
const LEVELS = ['INFO', 'WARNING', 'ERROR'];

const sid = (letters, number) => letters + String(number).padStart(32, '0');

// Writes a Build to a new folder, and returns { root, sids }: sids has the SID of each Function.
// `functions` is { name: source }, `assets` { path: bytes }, `packages` { 'name/file': source }.
function writeBuild({ functions = {}, assets = {}, packages = {} }) {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'isolate-')));
  const manifest = { functions: {}, assets: {}, bundle: null };
  const sids = {};
  let number = 0;
  fs.mkdirSync(path.join(root, 'handlers'));
  fs.mkdirSync(path.join(root, 'files'));
  for (const [name, source] of Object.entries(functions)) {
    sids[name] = sid('ZN', ++number);
    const file = `handlers/${sids[name]}.js`;
    manifest.functions[name] = { file, visibility: 'public' };
    fs.writeFileSync(path.join(root, file), source);
  }
  for (const [name, bytes] of Object.entries(assets)) {
    const file = `files/${sid('ZN', ++number)}`;
    manifest.assets[name] = { file, visibility: 'private' };
    fs.writeFileSync(path.join(root, file), bytes);
  }
  for (const [name, source] of Object.entries(packages)) {
    const file = path.join(root, 'node_modules', name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, source);
  }
  fs.writeFileSync(path.join(root, 'manifest.json'), JSON.stringify(manifest));
  return { root, sids };
}

// Returns the bytes of a frame.
function frame(type, call, payload) {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(5 + payload.length);
  head[4] = type;
  head.writeUInt32BE(call, 5);
  return Buffer.concat([head, payload]);
}

// Returns the payload of a CALL frame.
function callPayload(head, body) {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, body]);
}

class Isolate {
  // Starts an isolate for the Build of writeBuild(). `env` is its environment, `options` are those of node.
  constructor(build, { node = process.execPath, options = [], main = MAIN, env = {}, args = [build.root] } = {}) {
    this.build = build;
    this.calls = 0;
    this.received = Buffer.alloc(0);
    this.frames = [];
    this.waiting = null;
    this.child = spawn(node, [...options, main, ...args],
      { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: { PATH: '/usr/bin:/bin', ...env } });
    this.stderr = '';
    this.child.stderr.on('data', (bytes) => { this.stderr += bytes; });
    this.child.stdout.resume();
    this.child.stdout.on('error', () => {}); // the isolate was killed
    this.child.stderr.on('error', () => {});
    this.line = this.child.stdio[3];
    this.line.on('data', (bytes) => this.receive(bytes));
    this.line.on('error', () => {}); // the isolate has ended
    this.closed = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        resolve(signal ?? code);
        this.frames.push(null);
        this.waiting?.();
      });
    });
  }

  // Resolves to the exit status or the signal when the isolate has ended, or to a text after PATIENCE milliseconds.
  get exited() {
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, PATIENCE, `has not ended in ${PATIENCE} ms`); });
    return Promise.race([this.closed, late]).finally(() => clearTimeout(timer));
  }

  receive(bytes) {
    this.received = Buffer.concat([this.received, bytes]);
    while (this.received.length >= 4 && this.received.length >= 4 + this.received.readUInt32BE()) {
      const end = 4 + this.received.readUInt32BE();
      this.frames.push({ type: this.received[4], call: this.received.readUInt32BE(5), payload: this.received.subarray(9, end) });
      this.received = this.received.subarray(end);
    }
    this.waiting?.();
  }

  // Resolves when there is a frame, or the isolate has ended. Rejects after PATIENCE milliseconds.
  async arrival() {
    while (this.frames.length === 0) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(reject, PATIENCE, new Error(`no frame in ${PATIENCE} ms`));
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  // Resolves to the next frame, or to null where the isolate has ended.
  async next() {
    if (this.frames.length === 0) {
      await this.arrival();
    }
    return this.frames[0] === null ? null : this.frames.shift();
  }

  // Resolves when the isolate is ready.
  async ready() {
    const first = await this.next();
    if (first?.type !== Type.READY || first.call !== 0) {
      throw new Error(`not READY: ${JSON.stringify(first)} ${this.stderr}`);
    }
    return this;
  }

  // Sends the frame of a call. `name` is the Function's; `head` replaces members of the head.
  send(name, { body = '', ...head } = {}) {
    this.calls++;
    const whole = {
      function: this.build.sids[name], path: `/${name}`, request: sid('RQ', this.calls), deadline: 10000,
      method: 'GET', url: `https://d.example.com/${name}`, query: '', type: null, headers: [], user: null,
      domain: 'd.example.com', service: sid('ZS', 1), environment: sid('ZE', 1), account: null,
      token: null, variables: {}, stack: false, ...head,
    };
    this.line.write(frame(Type.CALL, this.calls, callPayload(whole, Buffer.from(body))));
  }

  // Receives frames until the call is over, and resolves to { status, headers, body, error, logs, idle, bad, ended }.
  // `ended` is true where the isolate has ended before IDLE.
  async outcome() {
    const outcome = { logs: [] };
    for (;;) {
      const received = await this.next();
      if (received === null) {
        return { ...outcome, ended: true };
      }
      if (received.call !== this.calls) {
        throw new Error(`a frame of call ${received.call}`);
      }
      if (received.type === Type.LOG) {
        outcome.logs.push([LEVELS[received.payload[0]], received.payload.toString('utf8', 1)]);
      } else if (received.type === Type.ANSWER) {
        const size = received.payload.readUInt32BE();
        Object.assign(outcome, JSON.parse(received.payload.toString('utf8', 4, 4 + size)));
        outcome.body = received.payload.subarray(4 + size);
      } else if (received.type === Type.BAD_REQUEST) {
        outcome.bad = received.payload.toString();
      } else if (received.type === Type.IDLE) {
        return { ...outcome, idle: JSON.parse(received.payload) };
      } else {
        throw new Error(`a frame of type ${received.type}`);
      }
    }
  }

  // Calls a Function, and resolves to the outcome.
  call(name, head) {
    this.send(name, head);
    return this.outcome();
  }

  // Closes the line, and resolves to the exit status when the isolate has ended.
  stop() {
    this.line.end();
    return this.exited;
  }
}

// Removes the folder of a Build.
const removeBuild = (build) => fs.rmSync(build.root, { recursive: true });

// Starts an isolate for a test, with a Build of these parts (see writeBuild); both end with the test.
async function isolateFor(test, parts, options) {
  const build = writeBuild(parts);
  const isolate = new Isolate(build, options);
  test.after(async () => {
    isolate.child.kill('SIGKILL');
    await isolate.exited;
    removeBuild(build);
  });
  return isolate.ready();
}

// The folder of Twilio's own package, which "make test" installs for the tests of clients and copies.
const PACKAGES = ['../sdk/node_modules', '../../build/sdk/node_modules'].map((folder) => path.join(__dirname, folder))
  .find((folder) => fs.existsSync(path.join(folder, 'twilio')));

module.exports = { Isolate, PACKAGES, Type, callPayload, frame, isolateFor, removeBuild, sid, writeBuild };

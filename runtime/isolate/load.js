// Loads the Functions of a Build.
'use strict';

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
const { defineProperty, hasOwn, keysOf, now, parse, split } = require('./builtins');

const { readFileSync } = fs;

// A Function that has failed to load this often in sequence is loaded again only after PAUSE milliseconds.
const ATTEMPTS = 3;
const PAUSE = 1000;

// A Function that cannot be loaded: `cause` is the exception. The message has only the first line of that of the
// cause: the other lines are paths.
class LoadError extends Error {
  constructor(cause) {
    super(`Could not load the Function: ${split(`${cause?.message ?? cause}`, '\n')[0]}`, { cause });
    this.name = cause?.name ?? 'Error';
    this.stack = `Could not load the Function: ${cause?.stack ?? cause}`;
  }
}

function setOwn(object, name, value) {
  defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

// A Build on disk, in the folder `root` with its manifest.
class Build {
  constructor(root) {
    this.root = root;
    this.require = createRequire(path.join(root, 'runtime-handler.js'));
    const { functions, assets } = parse(readFileSync(path.join(root, 'manifest.json'), 'utf8'));
    this.functions = functions;
    this.assets = assets;
    this.handlers = {}; // path of each handler's file, by the SID of its Version
    for (const name of keysOf(functions)) {
      this.handlers[path.basename(functions[name].file, '.js')] = path.join(root, functions[name].file);
    }
    this.failures = {}; // by SID: { attempts, error, until }
  }

  // Returns { name: { path } } of all Functions.
  getFunctions() {
    const found = {};
    for (const name of keysOf(this.functions)) {
      setOwn(found, name, { path: path.join(this.root, this.functions[name].file) });
    }
    return found;
  }

  // Returns { path: { path, open } } of all private Assets.
  getAssets() {
    const found = {};
    for (const name of keysOf(this.assets)) {
      const file = path.join(this.root, this.assets[name].file);
      setOwn(found, name, { path: file, open: () => readFileSync(file, 'utf8') });
    }
    return found;
  }

  // Returns the handler of a Function. Throws a LoadError.
  handlerOf(sid) {
    const failure = this.failures[sid];
    if (failure && failure.attempts >= ATTEMPTS && now() < failure.until) {
      throw failure.error;
    }
    try {
      const handler = this.loadHandler(sid);
      if (failure) {
        delete this.failures[sid];
      }
      return handler;
    } catch (cause) {
      const error = new LoadError(cause);
      this.failures[sid] = { attempts: (failure?.attempts ?? 0) + 1, error, until: now() + PAUSE };
      throw error;
    }
  }

  loadHandler(sid) {
    if (!hasOwn(this.handlers, sid)) {
      throw new Error('it is not in the Build');
    }
    const { handler } = this.require(this.handlers[sid]);
    if (typeof handler !== 'function') {
      throw new Error('it does not export a function named handler');
    }
    return handler;
  }
}

module.exports = { Build, LoadError };

// Runs calls, one at a time: the handler gets its event, and the line its answer, its logs and IDLE.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const { answerOf, failureOf } = require('./answer');
const { exit, now, parse, rawDebug, rss, slice, stringify } = require('./builtins');
const { Level, replaceOutput } = require('./console');
const { contextOf, refreshEnvironment } = require('./context');
const { BadRequest, eventOf } = require('./event');
const frame = require('./frame');
const { clientOf, defineGlobals } = require('./globals');
const { setBaseline, whenIdle } = require('./idle');
const line = require('./line');
const memory = require('./memory');
const { cleanStacks, describe } = require('./stack');

const EXIT_UNCAUGHT = 1;
const LOG_LIMIT = 64 * 1024; // characters of an entry
const RSS_AGE = 16; // milliseconds
const SHORT = 16 * 1024; // bytes of an answer that is copied to be sent with IDLE

const storage = new AsyncLocalStorage();
const run = storage.run.bind(storage);
const store = storage.getStore.bind(storage);

let build;
let current = null; // the call in progress, until IDLE
let calls = 0;
let broken = false; // an exception of an earlier call: the process ends after the call in progress
let exits = false; // the process ends: no code runs after that of its listeners
let rssBytes = 0;
let rssTime = -Infinity;

// Sends a log entry of the call in progress. Between calls, entries are lost.
function log(level, text) {
  if (current !== null) {
    const cut = text.length > LOG_LIMIT ? `${slice(text, 0, LOG_LIMIT)}...` : text;
    line.write(frame.log(current.number, level, cut));
  }
}

const flushLines = replaceOutput((level, text) => log(level, cleanStacks(text)));

// Returns the bytes of memory in use. It takes a third of the time of a short call, so it is at most RSS_AGE old.
function memoryInUse() {
  const time = now();
  if (time - rssTime >= RSS_AGE) {
    rssTime = time;
    rssBytes = rss();
  }
  return rssBytes;
}

// Ends the call in progress: the next one may come.
function end(call) {
  flushLines();
  if (broken) {
    sendAnswer(call);
    exit(EXIT_UNCAUGHT);
  }
  calls++;
  current = null;
  sendBehindAnswer(call, frame.textFrame(frame.Type.IDLE, call.number, `{"rss":${memoryInUse()},"calls":${calls}}`));
  memory.rest();
}

// Sends the answer of a call if it has not been sent yet.
function sendAnswer(call) {
  if (call.unsent !== null) {
    line.write(call.unsent);
    call.unsent = null;
  }
}

// Sends a frame, and the answer before it: by one write where the answer is short.
function sendBehindAnswer(call, next) {
  if (call.unsent !== null && call.unsent.length <= SHORT) {
    line.write(frame.joined([call.unsent, next]));
    call.unsent = null;
  } else {
    sendAnswer(call);
    line.write(next);
  }
}

// Answers the call as soon as the code that runs has returned: mostly, nothing is left to do then, and IDLE goes with the
// answer.
function send(call, answer) {
  call.answered = true;
  const { status, headers, error, body } = answer;
  call.unsent = frame.answer(call.number, stringify({ status, headers, error }), body);
  if (exits) {
    sendAnswer(call);
  }
  whenIdle(() => end(call), () => sendAnswer(call));
}

// Answers the call with an error: its log entry first.
function fail(call, error) {
  log(Level.ERROR, describe(error));
  send(call, failureOf(error, call.head.stack));
}

// Answers the call with the second argument of the callback.
function succeed(call, payload) {
  let answer;
  try {
    answer = answerOf(payload);
  } catch (error) {
    fail(call, error);
    return;
  }
  send(call, answer);
}

// The callback of a call. Only its first use counts.
function settle(call, error, payload) {
  if (call.answered) {
    return;
  }
  if (error) {
    fail(call, error);
  } else {
    succeed(call, payload);
  }
}

// An error of the handler itself, thrown or by rejection. After the answer, it is only logged.
function failHandler(call, error) {
  if (call !== current) {
    log(Level.ERROR, `An earlier call has failed after its end: ${describe(error)}`);
  } else if (call.answered) {
    log(Level.ERROR, describe(error));
  } else {
    fail(call, error);
  }
}

// Answers with the value of an async handler. A handler that returns nothing may still use the callback.
async function follow(call, promise) {
  try {
    const value = await promise;
    if (value !== undefined) {
      settle(call, null, value);
    }
  } catch (error) {
    failHandler(call, error);
  }
}

// Calls the handler.
function execute(call, event) {
  try {
    const handler = build.handlerOf(call.head.function);
    setBaseline();
    const result = handler(call.context, event, (error, payload) => settle(call, error, payload));
    if (typeof result?.then === 'function') {
      follow(call, result);
    }
  } catch (error) {
    failHandler(call, error);
  }
}

// Begins a call. Throws where its head is no JSON object.
function begin(number, payload) {
  const { head: text, body } = frame.splitCall(payload);
  const head = parse(text);
  const call = { number, head, answered: false, unsent: null, context: null };
  current = call;
  refreshEnvironment(head);
  call.context = contextOf(head, (context, options) => clientOf(build, context, options));
  let event;
  try {
    event = eventOf(head, body);
  } catch (error) {
    if (!(error instanceof BadRequest)) {
      throw error;
    }
    line.write(frame.textFrame(frame.Type.BAD_REQUEST, number, error.message));
    end(call);
    return;
  }
  run(call, execute, call, event);
}

// An exception that no code has caught, or a rejection. It ends the process, after the answer of its call; where it
// comes from an earlier call, after the call in progress.
function uncaught(error) {
  if (current === null) {
    rawDebug(describe(error));
    exit(EXIT_UNCAUGHT);
  }
  const call = store() ?? current;
  failHandler(call, error);
  if (call === current) {
    sendAnswer(call); // the Function may have removed the listener that does so at the end of the process
    exit(EXIT_UNCAUGHT);
  }
  broken = true;
}

// Prepares for calls of the Functions of a Build.
function start(ofBuild) {
  build = ofBuild;
  defineGlobals(build, () => current?.context);
  process.on('uncaughtException', uncaught);
  process.on('unhandledRejection', uncaught);
  process.on('exit', () => {
    exits = true;
    flushLines();
    if (current !== null) {
      sendAnswer(current);
    }
  });
  memory.start();
}

const isBusy = () => current !== null;

module.exports = { begin, isBusy, start };

// Makes answers of the values that a Function gives to its callback.
'use strict';

const {
  Number, String, codeAt, hasOwn, isArray, isBytes, isInteger, isNativeError, join, keysOf, lowerCase, prototypeOf,
  push, split, startsWith, stringify, test, trim,
} = require('./builtins');
const { Response } = require('./response');
const { clean } = require('./stack');

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
const XML = 'text/xml; charset=utf-8';
const BYTES = 'application/octet-stream';

const TWIML_CLASSES = { __proto__: null, VoiceResponse: 1, MessagingResponse: 1, FaxResponse: 1, TwiML: 1 };
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

// Returns whether an object is TwiML, of whatever copy of the package: by the name of one of its classes.
function isTwiml(value) {
  for (let type = prototypeOf(value); type; type = prototypeOf(type)) {
    if (hasOwn(type, 'constructor') && TWIML_CLASSES[type.constructor?.name]) {
      return startsWith(String(value), '<?xml');
    }
  }
  return false;
}

// Returns the text of a value as JSON. Throws where there is none.
function jsonOf(value) {
  const text = stringify(value);
  if (text === undefined) {
    throw new TypeError(`A ${typeof value} cannot be answered`);
  }
  return text;
}

// Returns [type, body] of a payload.
function contentOf(payload) {
  if (payload === undefined || payload === null) {
    return [null, ''];
  }
  if (typeof payload === 'string') {
    return [TEXT, payload];
  }
  if (isBytes(payload)) {
    return [BYTES, payload];
  }
  if (typeof payload === 'object' && isTwiml(payload)) {
    return [XML, String(payload)];
  }
  return [JSON_TYPE, jsonOf(payload)];
}

// Returns a cookie with HttpOnly and Secure, and without Domain.
function hardened(cookie) {
  const parts = split(cookie, ';');
  const kept = [trim(parts[0])];
  const names = { __proto__: null };
  for (let i = 1; i < parts.length; i++) {
    const part = trim(parts[i]);
    const name = lowerCase(trim(split(part, '=')[0]));
    names[name] = true;
    if (name !== 'domain' && part !== '') {
      push(kept, part);
    }
  }
  if (!names.httponly) {
    push(kept, 'HttpOnly');
  }
  if (!names.secure) {
    push(kept, 'Secure');
  }
  return join(kept, '; ');
}

// Returns whether a header's value has a character that would end it.
function hasControl(value) {
  for (let i = 0; i < value.length; i++) {
    const code = codeAt(value, i);
    if (code === 0 || code === 10 || code === 13) {
      return true;
    }
  }
  return false;
}

// Adds a line for each value of a header. Throws where the name or a value cannot be a header's.
function addHeader(lines, name, values) {
  if (!test(TOKEN, name)) {
    throw new TypeError(`"${name}" cannot be the name of a header`);
  }
  const all = isArray(values) ? values : [values];
  for (let i = 0; i < all.length; i++) {
    const value = String(all[i]);
    if (hasControl(value)) {
      throw new TypeError(`The value of the header ${name} has a line break or a NUL`);
    }
    push(lines, [name, lowerCase(name) === 'set-cookie' ? hardened(value) : value]);
  }
}

function hasHeader(lines, lowerCaseName) {
  for (let i = 0; i < lines.length; i++) {
    if (lowerCase(lines[i][0]) === lowerCaseName) {
      return true;
    }
  }
  return false;
}

// Returns the status of a Response. Throws where it is none of an answer.
function statusOf(response) {
  const status = Number(response.statusCode);
  if (!isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`The status code ${String(response.statusCode)} is not one from 200 to 599`);
  }
  return status;
}

// Returns the answer of a Twilio.Response. A string without Content-Type is application/octet-stream.
function answerOfResponse(response) {
  const status = statusOf(response);
  const headers = [];
  const names = keysOf(response.headers);
  for (let i = 0; i < names.length; i++) {
    addHeader(headers, names[i], response.headers[names[i]]);
  }
  const [type, body] = contentOf(response.body);
  if (type && !hasHeader(headers, 'content-type')) {
    push(headers, ['Content-Type', type === TEXT ? BYTES : type]);
  }
  return { status, headers, body, error: false };
}

// Returns the answer of the second argument of the callback. Throws where it cannot be sent.
function answerOf(payload) {
  if (payload instanceof Response) {
    return answerOfResponse(payload);
  }
  const [type, body] = contentOf(payload);
  return { status: 200, headers: type ? [['Content-Type', type]] : [], body, error: false };
}

function failed(type, body) {
  return { status: 500, headers: [['Content-Type', type]], body, error: true };
}

// Returns the answer of an Error: its message and name, and its stack where `withStack`.
function answerOfError(error, withStack) {
  const members = { message: clean(String(error.message)), name: String(error.name) };
  if (withStack) {
    members.stack = clean(String(error.stack));
  }
  return failed(JSON_TYPE, stringify(members));
}

function answerOfFailure(error, withStack) {
  if (isNativeError(error) || error instanceof Error) {
    return answerOfError(error, withStack);
  }
  if (error instanceof Response) {
    const answer = answerOfResponse(error);
    return { ...answer, status: answer.status >= 400 ? answer.status : 500, error: true };
  }
  if (typeof error === 'string') {
    return failed(TEXT, error);
  }
  return failed(JSON_TYPE, jsonOf(error));
}

// Returns the answer of whatever was thrown, rejected, or given as the first argument of the callback. Never throws.
function failureOf(error, withStack) {
  try {
    return answerOfFailure(error, withStack);
  } catch {
    return failed(JSON_TYPE, '{"message":"The Function has failed, and its error cannot be shown","name":"Error"}');
  }
}

module.exports = { answerOf, failureOf };
